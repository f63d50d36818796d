//! `GET …/snapshots/{id}`

use cloudpc_model::SnapshotId;
use cloudpc_store::Reader;
use std::sync::Arc;

use super::is_reached;
use crate::pipeline::{Answer, Call, Problem};
use crate::views::snapshot::snapshot;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (request, id) = (call.clone(), SnapshotId(call.key(0).to_owned()));
    let read = move |reader: &Reader<'_>| {
        let found = reader.snapshot(request.tenant(), &id)?;
        found.map_or(Ok(None), |found| Ok::<_, Problem>(is_reached(&request, reader, &found)?.then_some(found)))
    };
    let found = call.store().read(read).await?;
    let found = found.ok_or_else(|| Problem::not_found("restore point", call.key(0)))?;
    Ok(call.entity(&snapshot(&found, call.names_late_members())))
}
