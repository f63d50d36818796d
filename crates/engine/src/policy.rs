//! Provisioning policies, user settings and organization settings, as far as they decide which
//! Cloud PCs users get and how these are made.

use cloudpc_model::{
    CloudPc, Document, DocumentKey, DocumentType, GroupId, ImageId, Object, PolicySettingTypes, ProvisioningType,
    REGION_DEFAULT, Region, ServicePlanId, TenantId, Timestamp, UserAccountType, UserExperienceType,
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
    /// A licence of the assignment. The Cloud PCs have no user.
    Shared,
}

impl Supply {
    /// Returns the type of the Cloud PCs.
    pub fn provisioning_type(self) -> ProvisioningType {
        match self {
            Self::Licenses => ProvisioningType::Dedicated,
            Self::Seats => ProvisioningType::SharedByUser,
            Self::Shared => ProvisioningType::SharedByEntraGroup,
        }
    }
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
        let region = join_property(&policy.body, "regionName").filter(|name| *name != "automatic");
        Self { region: region.map(str::to_owned), single_sign_on: flag(&policy.body, "enableSingleSignOn") }
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
    pub tenant_id: TenantId,
    pub id: String,
    pub name: String,
    pub supply: Supply,
    pub image_id: ImageId,
    pub region: String,
    pub single_sign_on: bool,
    pub naming_template: Option<String>,
    pub user_experience_type: UserExperienceType,
    /// Id of the on-premises connection; empty if none.
    pub connection_id: String,
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
        let account_type = organization_account_type(reader, tenant)?;
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

/// Returns the account type of users where no policy or user setting has another.
fn organization_account_type(reader: &Reader<'_>, tenant: TenantId) -> Result<UserAccountType, StoreError> {
    let settings = DocumentKey::new(DocumentType::CloudPcOrganizationSettings, "");
    let settings = reader.document(tenant, &settings)?;
    let account_type = settings.as_ref().and_then(|settings| text(&settings.body, "userAccountType")?.parse().ok());
    Ok(account_type.unwrap_or(UserAccountType::StandardUser))
}

/// An assignment whose group shares Cloud PCs.
pub(crate) struct SharedAssignment {
    pub policy: Policy,
    pub assignment: Assignment,
    /// Account type of whoever is connected.
    pub account_type: UserAccountType,
}

/// Returns an assignment of a policy, if its group shares Cloud PCs.
pub(crate) fn shared_assignment(
    reader: &Reader<'_>,
    tenant: TenantId,
    policy: &str,
    assignment: &str,
) -> Result<Option<SharedAssignment>, StoreError> {
    let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, policy);
    let found = reader.document(tenant, &key)?.as_ref().and_then(self::policy);
    let Some(found) = found.filter(|policy| policy.supply == Supply::Shared) else { return Ok(None) };
    let key = DocumentKey::within(DocumentType::CloudPcProvisioningPolicyAssignment, policy, assignment);
    let Some(assignment) = reader.document(tenant, &key)?.as_ref().and_then(self::assignment) else { return Ok(None) };
    let account_type = match found.local_admin {
        true => UserAccountType::Administrator,
        false => organization_account_type(reader, tenant)?,
    };
    Ok(Some(SharedAssignment { policy: found, assignment, account_type }))
}

/// Returns the present image of the policy that made a Cloud PC; none if no policy did, or it is
/// gone.
pub(crate) fn policy_image(reader: &Reader<'_>, cloud_pc: &CloudPc) -> Result<Option<ImageId>, StoreError> {
    let Some(entitlement) = reader.entitlement(cloud_pc.tenant_id, cloud_pc.id)? else { return Ok(None) };
    let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, &entitlement.policy_id);
    let policy = reader.document(cloud_pc.tenant_id, &key)?;
    Ok(policy.as_ref().and_then(|policy| text(&policy.body, "imageId")).map(|id| ImageId(id.to_owned())))
}

/// Returns the group that shares a Cloud PC; none if its assignment is gone.
pub(crate) fn sharing_group(reader: &Reader<'_>, cloud_pc: &CloudPc) -> Result<Option<GroupId>, StoreError> {
    let Some(entitlement) = reader.entitlement(cloud_pc.tenant_id, cloud_pc.id)? else { return Ok(None) };
    let Entitlement { policy_id, assignment_id, .. } = &entitlement;
    let key = DocumentKey::within(DocumentType::CloudPcProvisioningPolicyAssignment, policy_id, assignment_id);
    Ok(reader.document(cloud_pc.tenant_id, &key)?.as_ref().and_then(Document::assigned_group))
}

/// Returns the groups that a Cloud PC gets settings through: those of its user, or the one that
/// shares it.
pub(crate) fn groups_of(reader: &Reader<'_>, cloud_pc: &CloudPc) -> Result<Vec<GroupId>, StoreError> {
    match cloud_pc.user_id {
        _ if cloud_pc.is_shared() => Ok(sharing_group(reader, cloud_pc)?.into_iter().collect()),
        Some(user) => Ok(reader.user_groups(cloud_pc.tenant_id, user)?.into_iter().map(|group| group.id).collect()),
        None => Ok(Vec::new()),
    }
}

/// Returns the ids of a policy's assignments.
pub(crate) fn assignment_ids(reader: &Reader<'_>, tenant: TenantId, policy: &str) -> Result<Vec<String>, StoreError> {
    let found = documents(reader, tenant, DocumentType::CloudPcProvisioningPolicyAssignment, policy)?;
    Ok(found.into_iter().map(|assignment| assignment.key.id).collect())
}

/// Returns whether a policy has the disk of a shared Cloud PC replaced after each session.
pub(crate) fn resets_after_session(reader: &Reader<'_>, tenant: TenantId, policy: &str) -> Result<bool, StoreError> {
    let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, policy);
    let policy = reader.document(tenant, &key)?;
    Ok(policy.is_some_and(|policy| text(&policy.body, "snapshotResetMode") == Some("enabled")))
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
    queue_seats(tx, tenant, subscription.service_plan_id, now)
}

/// Queues who may get a licence or seat of a service plan that became free: members of frontline
/// assignments, and groups that share Cloud PCs.
pub(crate) fn queue_seats(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    plan: ServicePlanId,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.shared_assignment_put_waiting(tenant)?;
    for document in documents(tx, tenant, DocumentType::CloudPcProvisioningPolicy, "")? {
        if policy(&document).is_none_or(|policy| policy.supply != Supply::Seats) {
            continue;
        }
        let kind = DocumentType::CloudPcProvisioningPolicyAssignment;
        let assignments = documents(tx, tenant, kind, &document.key.id)?;
        for assignment in assignments.iter().filter_map(assignment) {
            if assignment.service_plan_id == Some(plan) {
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

/// Reads a policy; none if it is of a type that provisions nothing.
fn policy(document: &Document) -> Option<Policy> {
    let body = &document.body;
    let supply = match text(body, "provisioningType") {
        None | Some("dedicated") => Supply::Licenses,
        Some("shared" | "sharedByUser") => Supply::Seats,
        Some("sharedByEntraGroup") => Supply::Shared,
        Some(_) => return None,
    };
    let settings = PolicySettings::of(document);
    let experience = text(body, "userExperienceType").and_then(|name| name.parse().ok());
    Some(Policy {
        tenant_id: document.tenant_id,
        id: document.key.id.clone(),
        name: text(body, "displayName").unwrap_or_default().to_owned(),
        supply,
        image_id: ImageId(text(body, "imageId").unwrap_or_default().to_owned()),
        region: settings.region.unwrap_or_else(|| region(body).to_owned()),
        single_sign_on: settings.single_sign_on,
        naming_template: text(body, "cloudPcNamingTemplate").map(str::to_owned),
        user_experience_type: experience.unwrap_or(UserExperienceType::CloudPc),
        connection_id: connection_id(document),
        local_admin: flag(body, "localAdminEnabled"),
    })
}

/// Returns the region of a policy's Cloud PCs: the one that it names, or else one of the region
/// group that it names.
fn region(policy: &Object) -> &str {
    match join_property(policy, "regionName").filter(|name| *name != "automatic") {
        Some(name) => name,
        None => {
            join_property(policy, "regionGroup").and_then(Region::of_group).map_or(REGION_DEFAULT, |region| region.name)
        }
    }
}

/// Returns the id of the on-premises connection of a policy; empty if it has none.
pub(crate) fn connection_id(policy: &Document) -> String {
    join_property(&policy.body, "onPremisesConnectionId").map(DocumentKey::fold).unwrap_or_default()
}

/// Returns a property of the first of a policy's domain joins that has it.
fn join_property<'a>(policy: &'a Object, property: &str) -> Option<&'a str> {
    let joins = policy.get("domainJoinConfigurations").and_then(Value::as_array)?;
    joins.iter().find_map(|join| text(join.as_object()?, property))
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
