//! `GET …/bulkActions`

use cloudpc_model::{BulkAction, BulkActionId, TenantId};
use cloudpc_store::{BULK_ACTIONS, ListTable, Reader};
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{
    Collection, ListProperty, ListSource, PropertySet, TableCollection, invalid_skip_token, page,
};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::bulk_action::{BulkActionRow, bulk_action, property};

/// Most rows of a page: each may name thousands of Cloud PCs.
const ROWS_MAX: usize = 20;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, BulkActions(call.clone())).await
}

/// The bulk actions of a tenant, by id.
pub(super) struct BulkActions(pub(super) Arc<Call>);

impl Collection for BulkActions {
    type Row = BulkActionRow;

    const PAGE_ROWS_MAX: usize = ROWS_MAX;

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<BulkActionRow>, Problem> {
        let after = position.map(str::parse::<BulkActionId>).transpose().map_err(|_| invalid_skip_token())?;
        let found = reader.bulk_action_list(self.0.tenant(), after, limit)?;
        found.into_iter().map(|bulk| Ok(BulkActionRow::read(reader, bulk)?)).collect()
    }

    fn position(&self, row: &BulkActionRow) -> String {
        row.bulk.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(Some(reader.bulk_action_count(self.0.tenant())?))
    }

    fn source(&self) -> Option<&dyn ListSource<BulkActionRow>> {
        Some(self)
    }

    fn view<'a>(&'a self, row: &'a BulkActionRow, _: PropertySet) -> impl Serialize + 'a {
        bulk_action(row)
    }
}

impl TableCollection for BulkActions {
    type Stored = BulkAction;

    fn table(&self) -> &'static ListTable<BulkAction> {
        &BULK_ACTIONS
    }

    fn tenant(&self) -> TenantId {
        self.0.tenant()
    }

    fn property(&self, path: &str) -> Option<ListProperty> {
        property(path)
    }

    fn row(&self, reader: &Reader<'_>, stored: BulkAction) -> Result<BulkActionRow, Problem> {
        Ok(BulkActionRow::read(reader, stored)?)
    }
}
