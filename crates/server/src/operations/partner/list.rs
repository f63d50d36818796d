//! `GET …/externalPartners`

use cloudpc_model::{Partner, PartnerId};
use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{Collection, PropertySet, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Partners(call.clone())).await
}

/// The partners of a tenant, by id.
pub(in crate::operations) struct Partners(pub(in crate::operations) Arc<Call>);

impl Collection for Partners {
    type Row = Partner;

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Partner>, Problem> {
        let after = position.map(str::parse::<PartnerId>).transpose().map_err(|_| invalid_skip_token())?;
        Ok(reader.partner_list(self.0.tenant(), after, limit)?)
    }

    fn position(&self, row: &Partner) -> String {
        row.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(Some(reader.partner_count(self.0.tenant())?))
    }

    fn view<'a>(&'a self, row: &'a Partner, _: PropertySet) -> impl Serialize + 'a {
        super::view(&self.0, row)
    }
}
