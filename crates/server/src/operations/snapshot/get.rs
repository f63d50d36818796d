//! `GET …/snapshots/{id}`

use cloudpc_model::SnapshotId;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::snapshot::snapshot;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (tenant, id) = (call.tenant(), SnapshotId(call.key(0).to_owned()));
    let found = call.store().read(move |reader| Ok::<_, Problem>(reader.snapshot(tenant, &id)?)).await?;
    let found = found.ok_or_else(|| Problem::not_found("restore point", call.key(0)))?;
    Ok(call.entity(&snapshot(&found, call.names_late_members())))
}
