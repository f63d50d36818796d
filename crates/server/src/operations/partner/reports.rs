//! `GET …/externalPartners/{id}/retrieveActionReports`

use cloudpc_model::PartnerId;
use cloudpc_store::{Reader, Report};
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;

use crate::pipeline::list::{Collection, PAGE_ROWS, PropertySet, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::partner::report;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Reports { call: call.clone(), partner: PartnerId(Uuid::nil()) }).await
}

/// The reports of a partner, newest first.
struct Reports {
    call: Arc<Call>,
    partner: PartnerId,
}

impl Collection for Reports {
    type Row = Report;

    const PAGE_ROWS_MAX: usize = PAGE_ROWS;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        self.partner = super::find(&self.call, reader)?.id;
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Report>, Problem> {
        let before = position.map(str::parse::<i64>).transpose().map_err(|_| invalid_skip_token())?;
        Ok(reader.report_list(self.call.tenant(), self.partner, before, limit)?)
    }

    fn position(&self, row: &Report) -> String {
        row.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(Some(reader.report_count(self.call.tenant(), self.partner)?))
    }

    fn view<'a>(&'a self, row: &'a Report, _: PropertySet) -> impl Serialize + 'a {
        report(row)
    }
}
