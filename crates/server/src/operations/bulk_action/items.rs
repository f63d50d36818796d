//! `GET …/bulkActions/{id}/cloudpc.items`

use cloudpc_model::{BulkActionId, BulkItem};
use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{Collection, PropertySet, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::bulk_action::bulk_action_item;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Items { call: call.clone(), bulk: None }).await
}

/// The Cloud PCs of a bulk action, in the order of the request.
struct Items {
    call: Arc<Call>,
    bulk: Option<BulkActionId>,
}

impl Collection for Items {
    type Row = BulkItem;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        self.bulk = Some(super::find(&self.call, reader)?.id);
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<BulkItem>, Problem> {
        let after = position.map(str::parse::<u32>).transpose().map_err(|_| invalid_skip_token())?;
        let first = after.map_or(0, |number| number.saturating_add(1));
        let Some(bulk) = self.bulk else { return Ok(Vec::new()) };
        Ok(reader.bulk_action_items(self.call.tenant(), bulk, first, limit)?)
    }

    fn position(&self, row: &BulkItem) -> String {
        row.number.to_string()
    }

    fn view<'a>(&'a self, row: &'a BulkItem, _: PropertySet) -> impl Serialize + 'a {
        bulk_action_item(row)
    }
}
