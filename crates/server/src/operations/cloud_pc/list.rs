//! `GET …/cloudPCs`

use cloudpc_engine::offered_cloud_pcs;
use cloudpc_graph::Version;
use cloudpc_model::{ActionId, CloudPc, CloudPcId, DocumentKey, DocumentType, Product, TenantId, UserId};
use cloudpc_store::{
    ActionFilter, CLOUD_PCS, Entitlement, KeyRanges, ListCondition, ListTable, ListValue, Reader, StoreError,
    cloud_pc_columns,
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
    /// The free shared Cloud PCs that the owner would be connected to.
    offered: Vec<CloudPcId>,
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
            offered: Vec::new(),
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
    allotment: bool,
}

impl WantedData {
    pub(super) fn of(call: &Call) -> Self {
        Self {
            last_action: call.mentions("lastRemoteActionResult"),
            frontline_availability: call.mentions("frontlineCloudPcAvailability"),
            allotment: call.version() == Version::Beta,
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
    let has_allotment = wanted.allotment && cloud_pc.product == Product::Frontline;
    let allotment_display_name = if has_allotment { allotment_display_name(reader, &cloud_pc)? } else { None };
    Ok(CloudPcRow { cloud_pc, last_action, frontline_availability, allotment_display_name })
}

/// Returns the name that the assignment of a frontline Cloud PC gives its licences.
fn allotment_display_name(reader: &Reader<'_>, cloud_pc: &CloudPc) -> Result<Option<String>, StoreError> {
    let Some(entitlement) = reader.entitlement(cloud_pc.tenant_id, cloud_pc.id)? else { return Ok(None) };
    let Entitlement { policy_id, assignment_id, .. } = &entitlement;
    let key = DocumentKey::within(DocumentType::CloudPcProvisioningPolicyAssignment, policy_id, assignment_id);
    let assignment = reader.document(cloud_pc.tenant_id, &key)?;
    let name = assignment.as_ref().and_then(|assignment| assignment.body.get("target")?.get("allotmentDisplayName"));
    Ok(name.and_then(serde_json::Value::as_str).map(str::to_owned))
}

impl Collection for CloudPcs {
    type Row = CloudPcRow;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        self.owner = super::owner(&self.call, reader)?;
        if let Some(owner) = self.owner {
            let offered = offered_cloud_pcs(reader, self.call.tenant(), owner)?;
            self.offered = offered.into_iter().map(|cloud_pc| cloud_pc.id).collect();
        }
        self.scope = CloudPcScope::read(reader, self.call.tenant(), &self.call.scope_tags)?;
        self.catalog = Catalog::read(reader, self.call.tenant())?;
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<CloudPcRow>, Problem> {
        let after = position.map(str::parse::<CloudPcId>).transpose().map_err(|_| invalid_skip_token())?;
        let tenant = self.call.tenant();
        let mut cloud_pcs = reader.cloud_pc_list(tenant, self.owner, after, limit)?;
        for id in self.offered.iter().filter(|id| after.is_none_or(|after| **id > after)) {
            cloud_pcs.extend(reader.cloud_pc(tenant, *id)?);
        }
        if !self.offered.is_empty() {
            cloud_pcs.sort_unstable_by_key(|cloud_pc| cloud_pc.id);
            cloud_pcs.truncate(limit);
        }
        cloud_pcs.into_iter().map(|cloud_pc| row(reader, tenant, cloud_pc, self.wanted)).collect()
    }

    fn position(&self, row: &CloudPcRow) -> String {
        row.cloud_pc.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        let all = || {
            let own = reader.cloud_pc_count(self.call.tenant(), self.owner)?;
            Ok::<_, StoreError>(own + self.offered.len() as u64)
        };
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
            let offered = self.offered.iter().map(|id| ListValue::Guid(id.0));
            ListCondition::any([
                ListCondition::Within(cloud_pc_columns::USER_ID, KeyRanges::points([ListValue::Guid(owner.0)])),
                ListCondition::Within(cloud_pc_columns::ID, KeyRanges::points(offered)),
            ])
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
