//! `cloudPcPool`: pools of Cloud PCs for agents. cloudpc keeps them and makes no Cloud PCs for
//! them, so their address and the number of their sessions are null.

use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentKey, DocumentType, Object, TenantId, UserId};
use cloudpc_store::Reader;
use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::provisioning_policy::find_image;
use super::rights;
use crate::documents::kind::Const::Text;
use crate::documents::kind::Fact::{
    CharsMax, Computed, CreatedAt, Default, Filled, Immutable, ModifiedAt, Range, Required, Unique,
};
use crate::documents::kind::{DocumentChange, DocumentKind, Hooks, Rights, WRITABLE};
use crate::pipeline::Problem;

static RIGHTS: Rights = rights("CloudPcPools");

/// Most pools of a tenant.
const POOLS_MAX: u64 = 100;

/// `cloudPcPool`, all of which are a `cloudPcAgentPool`
pub(super) static CLOUD_PC_POOL: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcPool,
    "/deviceManagement/virtualEndpoint/cloudPcPools",
    &RIGHTS,
    WRITABLE,
    &[
        Required("displayName"),
        Unique("displayName"),
        CharsMax("displayName", 60),
        CharsMax("description", 512),
        Required("cloudPcConfiguration"),
        Required("cloudPcConfiguration/imageId"),
        Default("cloudPcConfiguration/imageType", Text("gallery")),
        Filled("cloudPcConfiguration/imageDisplayName"),
        Range("scalingPolicy/minimumCount", 0, 900),
        Range("scalingPolicy/maximumCount", 1, 900),
        Computed("poolUrl"),
        Computed("sessionUsage"),
        CreatedAt("createdDateTime"),
        ModifiedAt("lastModifiedDateTime"),
    ],
)
.at_most(POOLS_MAX)
.expands(&["assignments"])
.hooks(&PoolHooks);

/// `cloudPcPoolAssignment`, all of which are a `cloudPcAgentPoolUserAssignment`
pub(super) static ASSIGNMENT: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcPoolAssignment,
    "/deviceManagement/virtualEndpoint/cloudPcPools/{cloudPcPool-id}/assignments",
    &RIGHTS,
    WRITABLE,
    &[Required("userPrincipalId"), Immutable("userPrincipalId"), Unique("userPrincipalId")],
)
.within(&CLOUD_PC_POOL)
.hooks(&AssignmentHooks);

struct PoolHooks;

impl Hooks for PoolHooks {
    fn check(&self, reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        check_scaling(&change.new.body)?;
        fill_regions(&mut change.new.body);
        name_image(reader, change)
    }

    fn of_user(
        &self,
        reader: &Reader<'_>,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Option<BTreeSet<String>>, Problem> {
        let mut principals: Vec<String> =
            reader.user_groups(tenant, user)?.into_iter().map(|group| group.id.to_string()).collect();
        principals.push(user.to_string());
        Ok(Some(assigned_pools(reader, tenant, &principals)?))
    }
}

/// The pools that are assigned to any of these users and groups.
fn assigned_pools(reader: &Reader<'_>, tenant: TenantId, principals: &[String]) -> Result<BTreeSet<String>, Problem> {
    let most = usize::try_from(POOLS_MAX).unwrap_or(usize::MAX);
    let pools = reader.document_list(tenant, DocumentType::CloudPcPool, "", None, most)?;
    let ids: Vec<_> = pools.iter().map(|pool| pool.key.id.as_str()).collect();
    let assignments = reader.document_children(tenant, DocumentType::CloudPcPoolAssignment, &ids, usize::MAX)?;
    let is_own = |assignment: &Document| {
        let id = DocumentKey::fold(text(&assignment.body, "userPrincipalId"));
        principals.contains(&id).then(|| assignment.key.parent.clone())
    };
    Ok(assignments.iter().filter_map(is_own).collect())
}

fn text<'a>(body: &'a Object, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The least number of Cloud PCs is not above the greatest.
fn check_scaling(pool: &Object) -> Result<(), GraphError> {
    let scaling = pool.get("scalingPolicy").and_then(Value::as_object);
    let count = |name: &str| scaling.and_then(|scaling| scaling.get(name)).and_then(Value::as_i64);
    match (count("minimumCount"), count("maximumCount")) {
        (Some(least), Some(most)) if least > most => {
            let message = format!("The minimumCount {least} is above the maximumCount {most}. Lower it.");
            Err(GraphError::bad_request(message).about("scalingPolicy/minimumCount"))
        }
        _ => Ok(()),
    }
}

/// A region group without regions takes any of them.
fn fill_regions(pool: &mut Object) {
    let network = pool.get_mut("networkConfiguration").and_then(Value::as_object_mut);
    let groups = network.and_then(|network| network.get_mut("regionGroups")).and_then(Value::as_array_mut);
    for group in groups.into_iter().flatten().filter_map(Value::as_object_mut) {
        if group.get("regions").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            group.insert("regions".into(), json!(["automatic"]));
        }
    }
}

/// Checks that the image of a pool is there, and fills in its name unless the caller gives one.
fn name_image(reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
    const CONFIGURATION: &str = "cloudPcConfiguration";
    let configuration = |pool: &Document| pool.body.get(CONFIGURATION).and_then(Value::as_object).cloned();
    let Some(mut new) = configuration(change.new) else { return Ok(()) };
    let old = change.old.and_then(configuration).unwrap_or_default();
    let held = text(&old, "imageId");
    let (id, name) = find_image(reader, change.call, held, &new, "cloudPcConfiguration/imageId")?;
    let is_another = text(&old, "imageId") != id;
    let is_kept = old.contains_key("imageDisplayName") && old.get("imageDisplayName") == new.get("imageDisplayName");
    if !new.contains_key("imageDisplayName") || is_another && is_kept {
        new.insert("imageDisplayName".into(), Value::String(name));
    }
    new.insert("imageId".into(), Value::String(id));
    change.new.body.insert(CONFIGURATION.into(), Value::Object(new));
    Ok(())
}

struct AssignmentHooks;

impl Hooks for AssignmentHooks {
    fn check(&self, reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        const PRINCIPAL: &str = "userPrincipalId";
        let id = text(&change.new.body, PRINCIPAL);
        let tenant = change.new.tenant_id;
        let user = id.parse().map_or(Ok(None), |user| reader.user(tenant, user))?;
        let group = id.parse().map_or(Ok(None), |group| reader.group(tenant, group))?;
        if user.is_some() || group.is_some() {
            return Ok(());
        }
        let message = format!("There is no user or group with the id '{id}'. Send the id of an existing one.");
        Err(GraphError::bad_request(message).about(PRINCIPAL).into())
    }
}
