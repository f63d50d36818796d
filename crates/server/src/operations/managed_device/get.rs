//! `GET /deviceManagement/managedDevices/{id}`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::catalog::Catalog;
use crate::views::managed_device::managed_device;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &cloudpc_store::Reader<'_>| {
        let found = super::find(&request, reader)?;
        let row = super::list::row(&request, reader, found, true)?;
        let catalog = Catalog::read(reader, request.tenant())?;
        Ok::<_, Problem>(request.entity(&managed_device(&row, &catalog, request.version())))
    };
    call.store().read(read).await
}
