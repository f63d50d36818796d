//! `GET …/snapshots`

use cloudpc_model::{CloudPcId, Snapshot, SnapshotId, TenantId};
use cloudpc_store::{KeyRanges, ListCondition, ListTable, ListValue, Reader, SNAPSHOTS, snapshot_columns};
use serde::Serialize;
use std::sync::Arc;

use crate::operations::cloud_pc;
use crate::pipeline::list::{Collection, ListProperty, ListSource, PropertySet, TableCollection, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::snapshot::{property, snapshot};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Snapshots::of_tenant(&call)).await
}

/// Restore points by id, and so by Cloud PC: all of a tenant, or those of the Cloud PC in the path.
pub(in crate::operations) struct Snapshots {
    call: Arc<Call>,
    is_of_cloud_pc: bool,
    cloud_pc: Option<CloudPcId>,
}

impl Snapshots {
    pub(in crate::operations) fn of_tenant(call: &Arc<Call>) -> Self {
        Self { call: call.clone(), is_of_cloud_pc: false, cloud_pc: None }
    }

    pub(in crate::operations) fn of_cloud_pc(call: &Arc<Call>) -> Self {
        Self { is_of_cloud_pc: true, ..Self::of_tenant(call) }
    }
}

impl Collection for Snapshots {
    type Row = Snapshot;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        if self.is_of_cloud_pc {
            self.cloud_pc = Some(cloud_pc::find(&self.call, reader)?.id);
        }
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Snapshot>, Problem> {
        let after = position.map(|id| SnapshotId(id.to_owned()));
        Ok(reader.snapshot_list(self.call.tenant(), self.cloud_pc, after.as_ref(), limit)?)
    }

    fn position(&self, row: &Snapshot) -> String {
        row.id.0.clone()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(Some(reader.snapshot_count(self.call.tenant(), self.cloud_pc)?))
    }

    fn hides_rows(&self) -> bool {
        !self.is_of_cloud_pc && !self.call.scope_tags.is_all()
    }

    fn is_visible(&self, reader: &Reader<'_>, row: &Snapshot) -> Result<bool, Problem> {
        super::is_reached(&self.call, reader, row)
    }

    fn source(&self) -> Option<&dyn ListSource<Snapshot>> {
        if self.hides_rows() { None } else { Some(self) }
    }

    fn view<'a>(&'a self, row: &'a Snapshot, set: PropertySet) -> impl Serialize + 'a {
        snapshot(row, set == PropertySet::Stored || self.call.names_late_members())
    }
}

impl TableCollection for Snapshots {
    type Stored = Snapshot;

    fn table(&self) -> &'static ListTable<Snapshot> {
        &SNAPSHOTS
    }

    fn tenant(&self) -> TenantId {
        self.call.tenant()
    }

    fn scope(&self) -> ListCondition {
        let of = |id: CloudPcId| {
            ListCondition::Within(snapshot_columns::CLOUD_PC_ID, KeyRanges::points([ListValue::Guid(id.0)]))
        };
        self.cloud_pc.map_or(ListCondition::TRUE, of)
    }

    fn property(&self, path: &str) -> Option<ListProperty> {
        property(path)
    }

    fn row(&self, _: &Reader<'_>, stored: Snapshot) -> Result<Snapshot, Problem> {
        Ok(stored)
    }
}
