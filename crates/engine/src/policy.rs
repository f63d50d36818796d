//! Provisioning policies, user settings and organization settings, as far as they decide which
//! Cloud PCs users get and how these are made.

use cloudpc_model::{
    Document, DocumentKey, DocumentType, GroupId, ImageId, Object, PolicySettingTypes, REGION_DEFAULT, Region,
    ServicePlanId, TenantId, Timestamp, UserAccountType,
};
use cloudpc_store::{Entitlement, PolicyValues, Reader, StoreError, Subscription, Tx, UserLicense};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;
use std::time::Duration;

/// Documents read per page.
const DOCUMENTS_PAGE: usize = 500;

/// What a policy takes for each Cloud PC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supply {
    /// A licence of the user.
    Licenses,
    /// A seat of the assignment.
    Seats,
}

/// Settings of a policy that rollouts bring to existing Cloud PCs.
#[derive(Debug)]
pub(crate) struct PolicySettings {
    /// Region; none if the policy leaves the choice to the service or to its connection, so that a
    /// Cloud PC stays where it is.
    pub region: Option<String>,
    pub single_sign_on: bool,
}

impl PolicySettings {
    pub fn of(policy: &Document) -> Self {
        let joins = policy.body.get("domainJoinConfigurations").and_then(Value::as_array);
        let region = joins.and_then(|joins| joins.iter().find_map(|join| text(join.as_object()?, "regionName")));
        Self {
            region: region.filter(|name| *name != "automatic").map(str::to_owned),
            single_sign_on: flag(&policy.body, "enableSingleSignOn"),
        }
    }

    /// Returns the values of these settings only.
    pub fn values(&self, settings: PolicySettingTypes) -> PolicyValues {
        PolicyValues {
            region: self.region.clone().filter(|_| settings.region),
            single_sign_on: settings.single_sign_on.then_some(self.single_sign_on),
        }
    }
}

/// A provisioning policy.
#[derive(Debug)]
pub(crate) struct Policy {
    pub id: String,
    pub name: String,
    pub supply: Supply,
    pub image_id: ImageId,
    pub region: String,
    pub single_sign_on: bool,
    pub naming_template: Option<String>,
    local_admin: bool,
}

/// The assignment of a policy to a group.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub id: String,
    pub group_id: GroupId,
    /// Service plan of the assignment's seats.
    pub service_plan_id: Option<ServicePlanId>,
    /// Most licences whose seats the assignment may use.
    pub licenses_max: Option<u64>,
    created_at: Timestamp,
}

/// The policies that apply to the members of some groups.
#[derive(Debug)]
pub(crate) struct Policies {
    /// Every assignment to one of the groups, with its policy, oldest first.
    assigned: Vec<(Rc<Policy>, Assignment)>,
    /// Groups whose members are administrators of their Cloud PCs.
    administrators: HashSet<GroupId>,
    /// Intervals of automatic restore points, by group.
    restore_points: Vec<(GroupId, Duration)>,
    account_type: UserAccountType,
}

impl Policies {
    /// Reads the policies and user settings that are assigned to these groups.
    pub fn read<'a>(
        reader: &Reader<'_>,
        tenant: TenantId,
        groups: impl IntoIterator<Item = &'a GroupId>,
    ) -> Result<Self, StoreError> {
        let groups: BTreeSet<GroupId> = groups.into_iter().copied().collect();
        let groups: Vec<GroupId> = groups.into_iter().collect();
        let mut assigned = Vec::new();
        let found = reader.document_assignments(tenant, DocumentType::CloudPcProvisioningPolicyAssignment, &groups)?;
        for assignments in found.chunk_by(|a, b| a.key.parent == b.key.parent) {
            let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, &assignments[0].key.parent);
            let Some(policy) = reader.document(tenant, &key)?.as_ref().and_then(policy) else { continue };
            let policy = Rc::new(policy);
            assigned.extend(assignments.iter().filter_map(assignment).map(|found| (policy.clone(), found)));
        }
        assigned.sort_by(|(_, a), (_, b)| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        let (mut administrators, mut restore_points) = (HashSet::new(), Vec::new());
        let found = reader.document_assignments(tenant, DocumentType::CloudPcUserSettingAssignment, &groups)?;
        for assignments in found.chunk_by(|a, b| a.key.parent == b.key.parent) {
            let key = DocumentKey::new(DocumentType::CloudPcUserSetting, &assignments[0].key.parent);
            let Some(setting) = reader.document(tenant, &key)? else { continue };
            let assigned = assignments.iter().filter_map(Document::assigned_group);
            restore_points.extend(assigned.clone().map(|group| (group, restore_point_interval(&setting.body))));
            if flag(&setting.body, "localAdminEnabled") {
                administrators.extend(assigned);
            }
        }
        let settings = DocumentKey::new(DocumentType::CloudPcOrganizationSettings, "");
        let settings = reader.document(tenant, &settings)?;
        let account_type = settings.as_ref().and_then(|settings| text(&settings.body, "userAccountType")?.parse().ok());
        let account_type = account_type.unwrap_or(UserAccountType::StandardUser);
        Ok(Self { assigned, administrators, restore_points, account_type })
    }

    /// Returns the assignments to any of these groups with their policies, oldest first.
    pub fn applying<'a>(
        &'a self,
        groups: &'a HashSet<GroupId>,
        supply: Supply,
    ) -> impl Iterator<Item = (&'a Policy, &'a Assignment)> {
        let applies = move |(policy, assignment): &&(Rc<Policy>, Assignment)| {
            policy.supply == supply && groups.contains(&assignment.group_id)
        };
        self.assigned.iter().filter(applies).map(|(policy, assignment)| (&**policy, assignment))
    }

    /// Returns the shortest interval of automatic restore points that a user setting of these
    /// groups has; none if no user setting applies.
    pub fn restore_point_interval(&self, groups: &HashSet<GroupId>) -> Option<Duration> {
        self.restore_points.iter().filter(|(group, _)| groups.contains(group)).map(|(_, interval)| *interval).min()
    }

    /// Returns the account type of a user on a new Cloud PC: administrator if the policy or a user
    /// setting says so, or else that of the organization.
    pub fn account_type(&self, policy: &Policy, groups: &HashSet<GroupId>) -> UserAccountType {
        match policy.local_admin || !self.administrators.is_disjoint(groups) {
            true => UserAccountType::Administrator,
            false => self.account_type,
        }
    }
}

/// Returns the licences that no Cloud PC uses.
pub(crate) fn unused_licenses<'a>(
    licenses: &'a [UserLicense],
    held: &'a [Entitlement],
) -> impl Iterator<Item = &'a UserLicense> {
    licenses.iter().filter(|license| !held.iter().any(|held| held.sku_id == Some(license.sku_id)))
}

/// Queues the members of the group of an assignment, one of whom may get a seat that became free.
pub(crate) fn queue_members(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    policy: &str,
    assignment: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let key = DocumentKey::within(DocumentType::CloudPcProvisioningPolicyAssignment, policy, assignment);
    match tx.document(tenant, &key)?.as_ref().and_then(Document::assigned_group) {
        Some(group) => tx.provisioning_queue_put_members(tenant, group, now),
        None => Ok(()),
    }
}

/// Adds or replaces a subscription as [`Tx::subscription_put`] does, and queues those who may wait
/// for its new units: members of frontline assignments, and users whose Cloud PCs are
/// `pendingProvision`.
///
/// # Errors
/// The store fails.
pub fn put_subscription(tx: &mut Tx<'_>, subscription: &Subscription, now: Timestamp) -> Result<(), StoreError> {
    let tenant = subscription.tenant_id;
    let before = tx.subscription(tenant, subscription.sku_id)?;
    let had = before.filter(|before| before.service_plan_id == subscription.service_plan_id);
    tx.subscription_put(subscription, now)?;
    if had.is_some_and(|before| before.units >= subscription.units) {
        return Ok(());
    }
    tx.provisioning_queue_put_pending(tenant, subscription.sku_id, now)?;
    for document in documents(tx, tenant, DocumentType::CloudPcProvisioningPolicy, "")? {
        if policy(&document).is_none_or(|policy| policy.supply != Supply::Seats) {
            continue;
        }
        let kind = DocumentType::CloudPcProvisioningPolicyAssignment;
        let assignments = documents(tx, tenant, kind, &document.key.id)?;
        for assignment in assignments.iter().filter_map(assignment) {
            if assignment.service_plan_id == Some(subscription.service_plan_id) {
                tx.provisioning_queue_put_members(tenant, assignment.group_id, now)?;
            }
        }
    }
    Ok(())
}

/// Returns all documents of a type below a parent.
fn documents(
    reader: &Reader<'_>,
    tenant: TenantId,
    kind: DocumentType,
    parent: &str,
) -> Result<Vec<Document>, StoreError> {
    let mut all: Vec<Document> = Vec::new();
    loop {
        let after = all.last().map(|last| last.key.id.as_str());
        let page = reader.document_list(tenant, kind, parent, after, DOCUMENTS_PAGE)?;
        let is_full = page.len() == DOCUMENTS_PAGE;
        all.extend(page);
        if !is_full {
            return Ok(all);
        }
    }
}

/// Reads a policy; none if it is of a type that gives Cloud PCs to no single user.
fn policy(document: &Document) -> Option<Policy> {
    let body = &document.body;
    let supply = match text(body, "provisioningType") {
        None | Some("dedicated") => Supply::Licenses,
        Some("shared" | "sharedByUser") => Supply::Seats,
        Some(_) => return None,
    };
    let settings = PolicySettings::of(document);
    Some(Policy {
        id: document.key.id.clone(),
        name: text(body, "displayName").unwrap_or_default().to_owned(),
        supply,
        image_id: ImageId(text(body, "imageId").unwrap_or_default().to_owned()),
        region: settings.region.unwrap_or_else(|| region(body).to_owned()),
        single_sign_on: settings.single_sign_on,
        naming_template: text(body, "cloudPcNamingTemplate").map(str::to_owned),
        local_admin: flag(body, "localAdminEnabled"),
    })
}

/// Returns the region of a policy's Cloud PCs: the one that it names, or else one of the region
/// group that it names.
fn region(policy: &Object) -> &str {
    let joins = policy.get("domainJoinConfigurations").and_then(Value::as_array);
    let named = |property| joins.and_then(|joins| joins.iter().find_map(|join| text(join.as_object()?, property)));
    match named("regionName").filter(|name| *name != "automatic") {
        Some(name) => name,
        None => named("regionGroup").and_then(Region::of_group).map_or(REGION_DEFAULT, |region| region.name),
    }
}

/// Returns the interval of automatic restore points of a user setting.
fn restore_point_interval(setting: &Object) -> Duration {
    let frequency = setting.get("restorePointSetting").and_then(Value::as_object);
    Duration::from_hours(match frequency.and_then(|frequency| text(frequency, "frequencyType")) {
        Some("fourHours") => 4,
        Some("sixHours") => 6,
        Some("sixteenHours") => 16,
        Some("twentyFourHours") => 24,
        _ => 12,
    })
}

fn assignment(document: &Document) -> Option<Assignment> {
    let target = document.body.get("target")?.as_object()?;
    Some(Assignment {
        id: document.key.id.clone(),
        group_id: document.assigned_group()?,
        service_plan_id: text(target, "servicePlanId").and_then(|id| id.parse().ok()),
        licenses_max: target.get("allotmentLicensesCount").and_then(Value::as_u64),
        created_at: document.created_at,
    })
}

fn text<'a>(body: &'a Object, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn flag(body: &Object, name: &str) -> bool {
    body.get(name).and_then(Value::as_bool).unwrap_or_default()
}
