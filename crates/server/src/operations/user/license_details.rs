//! `GET /users/{id}/licenseDetails`

use cloudpc_store::Reader;
use std::sync::Arc;

use super::find_readable;
use crate::pipeline::{Answer, Call, Problem, list};
use crate::views::directory::license_detail;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        let user = find_readable(&request, reader)?;
        Ok::<_, Problem>(reader.user_licenses(user.tenant_id, user.id)?)
    };
    let licenses = call.store().read(read).await?;
    list::in_memory_as(&call, licenses, |license, _| license_detail(license)).await
}
