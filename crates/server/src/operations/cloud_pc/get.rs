//! `GET …/cloudPCs/{id}`

use std::sync::Arc;

use crate::pipeline::list::PropertySet;
use crate::pipeline::{Answer, Call, Problem};
use crate::views::catalog::Catalog;
use crate::views::cloud_pc::cloud_pc;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &cloudpc_store::Reader<'_>| {
        let tenant = request.tenant();
        let found = super::find(&request, reader)?;
        let row = super::list::row(reader, tenant, found, super::list::WantedData::of(&request))?;
        let set = if request.options.select.is_some() { PropertySet::All } else { PropertySet::Default };
        Ok::<_, Problem>(request.entity(&cloud_pc(
            &row,
            &Catalog::read(reader, tenant)?,
            super::view_context(&request),
            set,
        )))
    };
    call.store().read(read).await
}
