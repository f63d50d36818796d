//! `GET /deviceManagement/managedDevices`

use cloudpc_model::{CloudPc, ManagedDeviceId, TenantId};
use cloudpc_store::{ActionFilter, CLOUD_PCS, ListCondition, ListTable, Reader};
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{
    Collection, ListProperty, ListSource, PAGE_ROWS, PropertySet, TableCollection, invalid_skip_token, page,
};
use crate::pipeline::{Answer, Call, Problem};
use crate::rbac::CloudPcScope;
use crate::views::catalog::Catalog;
use crate::views::managed_device::{ManagedDeviceRow, managed_device, property};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, ManagedDevices::new(&call)).await
}

/// The managed devices of a tenant, by id.
pub(super) struct ManagedDevices {
    call: Arc<Call>,
    scope: CloudPcScope,
    catalog: Catalog,
    with_actions: bool,
}

impl ManagedDevices {
    pub(super) fn new(call: &Arc<Call>) -> Self {
        let with_actions = call.mentions("cloudPcRemoteActionResults");
        Self { call: call.clone(), scope: CloudPcScope::All, catalog: Catalog::default(), with_actions }
    }
}

/// Returns a managed device, with its latest remote actions if `with_actions`.
pub(super) fn row(
    call: &Call,
    reader: &Reader<'_>,
    cloud_pc: CloudPc,
    with_actions: bool,
) -> Result<ManagedDeviceRow, Problem> {
    let target = cloud_pc.id.to_string();
    let latest = || reader.action_list(call.tenant(), &target, ActionFilter::Remote, None, PAGE_ROWS);
    let actions = with_actions.then(latest).transpose()?;
    Ok(ManagedDeviceRow { cloud_pc, actions })
}

impl Collection for ManagedDevices {
    type Row = ManagedDeviceRow;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        self.scope = CloudPcScope::read(reader, self.call.tenant(), &self.call.scope_tags)?;
        self.catalog = Catalog::read(reader, self.call.tenant())?;
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Self::Row>, Problem> {
        let after = position.map(str::parse::<ManagedDeviceId>).transpose().map_err(|_| invalid_skip_token())?;
        let cloud_pcs = reader.cloud_pc_list_by_managed_device(self.call.tenant(), after, limit)?;
        cloud_pcs.into_iter().map(|cloud_pc| row(&self.call, reader, cloud_pc, self.with_actions)).collect()
    }

    fn position(&self, row: &Self::Row) -> String {
        row.cloud_pc.managed_device_id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        let all = || reader.cloud_pc_count(self.call.tenant(), None);
        Ok(self.scope.is_all().then(all).transpose()?)
    }

    fn source(&self) -> Option<&dyn ListSource<ManagedDeviceRow>> {
        Some(self)
    }

    fn view<'a>(&'a self, row: &'a Self::Row, _: PropertySet) -> impl Serialize + 'a {
        managed_device(row, &self.catalog, self.call.version())
    }
}

impl TableCollection for ManagedDevices {
    type Stored = CloudPc;

    fn table(&self) -> &'static ListTable<CloudPc> {
        &CLOUD_PCS
    }

    fn tenant(&self) -> TenantId {
        self.call.tenant()
    }

    fn scope(&self) -> ListCondition {
        self.scope.condition()
    }

    fn limits_rows(&self) -> bool {
        !self.scope.is_all()
    }

    fn property(&self, path: &str) -> Option<ListProperty> {
        property(path, &self.catalog)
    }

    fn row(&self, reader: &Reader<'_>, stored: CloudPc) -> Result<ManagedDeviceRow, Problem> {
        row(&self.call, reader, stored, self.with_actions)
    }
}
