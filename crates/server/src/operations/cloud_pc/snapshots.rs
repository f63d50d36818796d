//! `GET …/cloudPCs/{id}/retrieveSnapshots`

use cloudpc_model::{CloudPcId, Snapshot, SnapshotId};
use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;

use crate::pipeline::list::{Collection, PropertySet, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::snapshot::snapshot;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Snapshots { call: call.clone(), cloud_pc: CloudPcId(Uuid::nil()) }).await
}

/// The restore points of a Cloud PC, by id.
struct Snapshots {
    call: Arc<Call>,
    cloud_pc: CloudPcId,
}

impl Collection for Snapshots {
    type Row = Snapshot;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        self.cloud_pc = super::find(&self.call, reader)?.id;
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Snapshot>, Problem> {
        let after = position.map(|id| SnapshotId(id.to_owned()));
        Ok(reader.snapshot_list(self.call.tenant(), self.cloud_pc, after.as_ref(), limit)?)
    }

    fn position(&self, row: &Snapshot) -> String {
        row.id.0.clone()
    }

    fn view<'a>(&'a self, row: &'a Snapshot, _: PropertySet) -> impl Serialize + 'a {
        snapshot(row)
    }
}
