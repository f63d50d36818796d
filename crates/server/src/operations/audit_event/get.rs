//! `GET …/auditEvents/{id}`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::audit::audit_event;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (tenant, id) = (call.tenant(), call.id::<i64>(0, "audit event")?);
    let read = move |reader: &cloudpc_store::Reader<'_>| {
        let newest = reader.audit_list(tenant, id.checked_add(1), 1)?;
        Ok::<_, Problem>(newest.into_iter().find(|entry| entry.id == id))
    };
    let found = call.store().read(read).await?;
    let entry = found.ok_or_else(|| Problem::not_found("audit event", call.key(0)))?;
    Ok(call.entity(&audit_event(&entry, call.version())))
}
