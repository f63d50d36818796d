//! `GET …/cloudPCs`

use cloudpc_model::{ActionId, CloudPc, CloudPcId, TenantId, UserId};
use cloudpc_store::{
    ActionFilter, CLOUD_PCS, KeyRanges, ListCondition, ListTable, ListValue, Reader, cloud_pc_columns,
};
use serde::Serialize;
use std::sync::Arc;

use super::frontline_detail::frontline_availability;
use crate::pipeline::list::{
    Collection, ListProperty, ListSource, PropertySet, TableCollection, invalid_skip_token, page,
};
use crate::pipeline::{Answer, Call, Problem};
use crate::rbac::CloudPcScope;
use crate::views::catalog::Catalog;
use crate::views::cloud_pc::{CloudPcRow, CloudPcViewContext, cloud_pc, property};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, CloudPcs::new(&call)).await
}

/// The Cloud PCs in the path's scope, by id.
pub(super) struct CloudPcs {
    pub(super) call: Arc<Call>,
    owner: Option<UserId>,
    pub(super) scope: CloudPcScope,
    catalog: Catalog,
    context: CloudPcViewContext,
    pub(super) wanted: WantedData,
}

impl CloudPcs {
    pub(super) fn new(call: &Arc<Call>) -> Self {
        Self {
            call: call.clone(),
            owner: None,
            scope: CloudPcScope::All,
            catalog: Catalog::default(),
            context: super::view_context(call),
            wanted: WantedData::of(call),
        }
    }
}

/// What a request uses of the data that takes queries for each Cloud PC.
#[derive(Clone, Copy)]
pub(super) struct WantedData {
    last_action: bool,
    frontline_availability: bool,
}

impl WantedData {
    pub(super) fn of(call: &Call) -> Self {
        Self {
            last_action: call.mentions("lastRemoteActionResult"),
            frontline_availability: call.mentions("frontlineCloudPcAvailability"),
        }
    }
}

/// Returns a Cloud PC with the data that its view needs.
pub(super) fn row(
    reader: &Reader<'_>,
    tenant: TenantId,
    cloud_pc: CloudPc,
    wanted: WantedData,
) -> Result<CloudPcRow, Problem> {
    let latest = |reader: &Reader<'_>| {
        reader.action_list(tenant, &cloud_pc.id.to_string(), ActionFilter::Remote, None::<ActionId>, 1)
    };
    let last_action = if wanted.last_action { latest(reader)?.pop() } else { None };
    let frontline_availability =
        wanted.frontline_availability.then(|| frontline_availability(reader, &cloud_pc)).transpose()?;
    Ok(CloudPcRow { cloud_pc, last_action, frontline_availability })
}

impl Collection for CloudPcs {
    type Row = CloudPcRow;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        self.owner = super::owner(&self.call, reader)?;
        self.scope = CloudPcScope::read(reader, self.call.tenant(), &self.call.scope_tags)?;
        self.catalog = Catalog::read(reader, self.call.tenant())?;
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<CloudPcRow>, Problem> {
        let after = position.map(str::parse::<CloudPcId>).transpose().map_err(|_| invalid_skip_token())?;
        let tenant = self.call.tenant();
        let cloud_pcs = reader.cloud_pc_list(tenant, self.owner, after, limit)?;
        cloud_pcs.into_iter().map(|cloud_pc| row(reader, tenant, cloud_pc, self.wanted)).collect()
    }

    fn position(&self, row: &CloudPcRow) -> String {
        row.cloud_pc.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        let all = || reader.cloud_pc_count(self.call.tenant(), self.owner);
        Ok(self.scope.is_all().then(all).transpose()?)
    }

    fn is_visible(&self, _: &Reader<'_>, row: &CloudPcRow) -> Result<bool, Problem> {
        Ok(self.scope.includes(&row.cloud_pc))
    }

    fn source(&self) -> Option<&dyn ListSource<CloudPcRow>> {
        Some(self)
    }

    fn view<'a>(&'a self, row: &'a CloudPcRow, set: PropertySet) -> impl Serialize + 'a {
        cloud_pc(row, &self.catalog, self.context, set)
    }
}

impl TableCollection for CloudPcs {
    type Stored = CloudPc;

    fn table(&self) -> &'static ListTable<CloudPc> {
        &CLOUD_PCS
    }

    fn tenant(&self) -> TenantId {
        self.call.tenant()
    }

    fn scope(&self) -> ListCondition {
        let owned = |owner: UserId| {
            ListCondition::Within(cloud_pc_columns::USER_ID, KeyRanges::points([ListValue::Guid(owner.0)]))
        };
        ListCondition::all([self.owner.map_or(ListCondition::TRUE, owned), self.scope.condition()])
    }

    fn limits_rows(&self) -> bool {
        !self.scope.is_all()
    }

    fn property(&self, path: &str) -> Option<ListProperty> {
        property(path, &self.catalog, self.call.version())
    }

    fn row(&self, reader: &Reader<'_>, stored: CloudPc) -> Result<CloudPcRow, Problem> {
        row(reader, self.call.tenant(), stored, self.wanted)
    }
}
