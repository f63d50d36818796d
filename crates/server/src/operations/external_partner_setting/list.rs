//! `GET …/externalPartnerSettings` and its `$count`

use cloudpc_model::Partner;
use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;

use crate::operations::partner::list::Partners;
use crate::pipeline::list::{self, Collection, PropertySet};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    list::page(&call, Settings(Partners(call.clone()))).await
}

pub async fn count(call: Arc<Call>) -> Result<Answer, Problem> {
    list::count(&call, Settings(Partners(call.clone()))).await
}

/// The partners of a tenant in their older form.
struct Settings(Partners);

impl Collection for Settings {
    type Row = Partner;

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Partner>, Problem> {
        self.0.rows(reader, position, limit)
    }

    fn position(&self, row: &Partner) -> String {
        self.0.position(row)
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        self.0.count(reader)
    }

    fn view<'a>(&'a self, row: &'a Partner, _: PropertySet) -> impl Serialize + 'a {
        super::view(&self.0.0, row)
    }
}
