//! `DELETE …/snapshots/{id}`

use cloudpc_model::SnapshotId;
use cloudpc_store::Reader;
use std::sync::Arc;

use crate::operations::cloud_pc::{check_user_access, find_reached};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (context, engine) = (call.request_context(), call.app.engine.clone());
    let find = move |reader: &Reader<'_>| {
        let missing = || Problem::not_found("restore point", call.key(0));
        let snapshot = reader.snapshot(call.tenant(), &SnapshotId(call.key(0).to_owned()))?.ok_or_else(missing)?;
        let cloud_pc = find_reached(&call, reader, snapshot.cloud_pc_id)?.ok_or_else(missing)?;
        check_user_access(&call, reader, &cloud_pc)?;
        Ok::<_, Problem>((cloud_pc, snapshot.id))
    };
    engine.delete_snapshot(&context, find).await?;
    Ok(Answer::NoContent)
}
