//! `GET …/snapshots`

use cloudpc_model::{CloudPcId, Snapshot, SnapshotId};
use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{Collection, PropertySet, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::snapshot::snapshot;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Snapshots(call.clone())).await
}

/// Cloud PCs per query.
const CLOUD_PCS_CHUNK: usize = 100;

/// The restore points of a tenant, by Cloud PC and id.
pub(super) struct Snapshots(pub(super) Arc<Call>);

impl Collection for Snapshots {
    type Row = Snapshot;

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Snapshot>, Problem> {
        let tenant = self.0.tenant();
        let after = position.map(|id| SnapshotId(id.to_owned()));
        // The page starts with the rest of the Cloud PC at which the last page ended.
        let mut at: Option<CloudPcId> = after.as_ref().and_then(owner);
        let mut found = match (at, &after) {
            (Some(cloud_pc), Some(after)) => reader.snapshot_list(tenant, cloud_pc, Some(after), limit)?,
            _ => Vec::new(),
        };
        while found.len() < limit {
            let cloud_pcs = reader.cloud_pc_list(tenant, None, at, CLOUD_PCS_CHUNK)?;
            for cloud_pc in &cloud_pcs {
                let missing = limit - found.len();
                found.extend(reader.snapshot_list(tenant, cloud_pc.id, None, missing)?);
            }
            at = cloud_pcs.last().map(|cloud_pc| cloud_pc.id);
            if cloud_pcs.len() < CLOUD_PCS_CHUNK {
                break;
            }
        }
        Ok(found)
    }

    fn position(&self, row: &Snapshot) -> String {
        row.id.0.clone()
    }

    fn view<'a>(&'a self, row: &'a Snapshot, _: PropertySet) -> impl Serialize + 'a {
        snapshot(row)
    }
}

/// Parses the Cloud PC id in the id of a restore point.
fn owner(id: &SnapshotId) -> Option<CloudPcId> {
    id.0.strip_prefix("CPC_")?.split('_').next()?.parse().ok()
}
