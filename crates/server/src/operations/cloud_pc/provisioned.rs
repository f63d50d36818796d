//! `GET …/cloudPCs/getProvisionedCloudPCs(groupId='…',servicePlanId='…')`

use cloudpc_graph::GraphError;
use cloudpc_model::{CloudPcId, GroupId, ServicePlanId, UserId};
use cloudpc_store::Reader;
use serde::Serialize;
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

/// The Cloud PCs of a service plan whose users are members of a group, by user and then by id.
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
        let (tenant, mut after) = (self.call.tenant(), position.map(parse_position).transpose()?);
        let mut found = Vec::new();
        loop {
            let ids = reader.cloud_pc_ids_of_group(tenant, self.group, after, CLOUD_PCS_READ)?;
            for (user, id) in ids.iter().filter(|(user, _)| self.owner.is_none_or(|owner| owner == *user)) {
                let of_plan = reader.cloud_pc(tenant, *id)?.filter(|cloud_pc| cloud_pc.service_plan_id == self.plan);
                if let Some(cloud_pc) =
                    of_plan.filter(|cloud_pc| cloud_pc.user_id == *user && self.scope.includes(cloud_pc))
                {
                    found.push(row(reader, tenant, cloud_pc, self.wanted)?);
                }
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
        format!("{} {}", row.cloud_pc.user_id, row.cloud_pc.id)
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
