//! `GET …/cloudPCs/getProvisionedCloudPCs(groupId='…',servicePlanId='…')`

use cloudpc_graph::GraphError;
use cloudpc_model::{CloudPc, CloudPcId, DocumentType, GroupId, ServicePlanId, UserId};
use cloudpc_store::Reader;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::list::{WantedData, row};
use crate::pipeline::list::{Collection, PropertySet, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::rbac::CloudPcScope;
use crate::views::catalog::Catalog;
use crate::views::cloud_pc::{CloudPcRow, CloudPcViewContext, cloud_pc};

/// Cloud PCs of the group read at a time.
const CLOUD_PCS_READ: usize = 500;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (group, plan) = (argument(&call, "groupId")?, argument(&call, "servicePlanId")?);
    let collection = ProvisionedCloudPcs {
        context: super::view_context(&call),
        wanted: WantedData::of(&call),
        call: call.clone(),
        catalog: Catalog::default(),
        owner: None,
        scope: CloudPcScope::All,
        group: GroupId(group),
        plan: ServicePlanId(plan),
    };
    page(&call, collection).await
}

fn argument(call: &Call, name: &str) -> Result<uuid::Uuid, GraphError> {
    let text = call.target.arguments.get(name).map(String::as_str).unwrap_or_default();
    text.parse().map_err(|_| GraphError::bad_request(format!("'{text}' is not a GUID.")).about(name))
}

/// Stands for the user of a shared Cloud PC in the position of a row.
const NO_USER: UserId = UserId(uuid::Uuid::nil());

/// The Cloud PCs of a service plan that a group shares, by id, and those whose users are members of
/// the group, by user and then by id.
struct ProvisionedCloudPcs {
    call: Arc<Call>,
    catalog: Catalog,
    context: CloudPcViewContext,
    wanted: WantedData,
    owner: Option<UserId>,
    scope: CloudPcScope,
    group: GroupId,
    plan: ServicePlanId,
}

impl ProvisionedCloudPcs {
    /// The Cloud PCs that the group shares, by id.
    fn shared(&self, reader: &Reader<'_>) -> Result<BTreeSet<CloudPcId>, Problem> {
        let (tenant, mut shared) = (self.call.tenant(), BTreeSet::new());
        let kind = DocumentType::CloudPcProvisioningPolicyAssignment;
        for assignment in reader.document_assignments(tenant, kind, &[self.group])? {
            let held = reader.shared_entitlements_of(tenant, &assignment.key.parent, &assignment.key.id)?;
            shared.extend(held.into_iter().map(|held| held.cloud_pc_id));
        }
        Ok(shared)
    }

    /// Returns the row of a Cloud PC, if it is one of the service plan that the caller sees.
    fn row(
        &self,
        reader: &Reader<'_>,
        id: CloudPcId,
        is_wanted: impl Fn(&CloudPc) -> bool,
    ) -> Result<Option<CloudPcRow>, Problem> {
        let tenant = self.call.tenant();
        let found = reader.cloud_pc(tenant, id)?.filter(|cloud_pc| {
            cloud_pc.service_plan_id == self.plan
                && self.owner.is_none_or(|owner| cloud_pc.user_id == Some(owner))
                && is_wanted(cloud_pc)
                && self.scope.includes(cloud_pc)
        });
        found.map(|cloud_pc| row(reader, tenant, cloud_pc, self.wanted)).transpose()
    }
}

impl Collection for ProvisionedCloudPcs {
    type Row = CloudPcRow;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        self.owner = super::owner(&self.call, reader)?;
        self.scope = CloudPcScope::read(reader, self.call.tenant(), &self.call.scope_tags)?;
        self.catalog = Catalog::read(reader, self.call.tenant())?;
        if reader.group(self.call.tenant(), self.group)?.is_none() {
            return Err(Problem::not_found("group", &self.group.to_string()));
        }
        match reader.service_plan(self.call.tenant(), self.plan)? {
            Some(_) => Ok(()),
            None => Err(Problem::not_found("service plan", &self.plan.to_string())),
        }
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<CloudPcRow>, Problem> {
        let (tenant, after) = (self.call.tenant(), position.map(parse_position).transpose()?);
        let mut found = Vec::new();
        let mut after = match after {
            Some((user, _)) if user != NO_USER => after,
            _ => {
                let shared = self.shared(reader)?.into_iter().filter(|id| after.is_none_or(|(_, last)| *id > last));
                for id in shared {
                    found.extend(self.row(reader, id, |_| true)?);
                    if found.len() == limit {
                        return Ok(found);
                    }
                }
                None
            }
        };
        loop {
            let ids = reader.cloud_pc_ids_of_group(tenant, self.group, after, CLOUD_PCS_READ)?;
            for (user, id) in &ids {
                found.extend(
                    self.row(reader, *id, |cloud_pc| !cloud_pc.is_shared() && cloud_pc.user_id == Some(*user))?,
                );
                if found.len() == limit {
                    return Ok(found);
                }
            }
            after = ids.last().copied();
            if ids.len() < CLOUD_PCS_READ {
                return Ok(found);
            }
        }
    }

    fn position(&self, row: &CloudPcRow) -> String {
        let user = row.cloud_pc.user_id.filter(|_| !row.cloud_pc.is_shared());
        format!("{} {}", user.unwrap_or(NO_USER), row.cloud_pc.id)
    }

    fn view<'a>(&'a self, row: &'a CloudPcRow, set: PropertySet) -> impl Serialize + 'a {
        cloud_pc(row, &self.catalog, self.context, set)
    }
}

/// Parses the position of a row.
fn parse_position(position: &str) -> Result<(UserId, CloudPcId), Problem> {
    let parsed =
        position.split_once(' ').and_then(|(user, cloud_pc)| Some((user.parse().ok()?, cloud_pc.parse().ok()?)));
    Ok(parsed.ok_or_else(invalid_skip_token)?)
}
