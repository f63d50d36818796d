//! Upgrade of a data directory whose Cloud PCs have the name of a policy, but no policy, group or
//! licence: makes these, so that every Cloud PC stays as it is.

use cloudpc_engine::SEATS_PER_LICENSE;
use cloudpc_model::{
    CloudPc, CloudPcStatus, Document, DocumentKey, DocumentType, GroupId, Object, Product, Rng, ServicePlan,
    ServicePlanId, SkuId, TenantId, Timestamp, UserId,
};
use cloudpc_store::{Entitlement, Group, LicenseHolder, Reader, StoreError, Subscription, Tx};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

use super::body;
use super::kind::DocumentKind;
use super::kinds::{PROVISIONING_POLICY, PROVISIONING_POLICY_ASSIGNMENT};

/// Cloud PCs read at a time.
const PAGE_ROWS: usize = 1_000;

/// Cloud PCs whose policy has this id, and which all take licences or all take seats.
struct Adopted {
    id: String,
    is_frontline: bool,
    cloud_pcs: Vec<CloudPc>,
}

/// Makes the policies, groups and licences of a tenant's Cloud PCs. Cloud PCs in their grace period
/// are left out: they lost their licence or assignment before.
pub fn adopt(tx: &mut Tx<'_>, tenant: TenantId, now: Timestamp, rng: &dyn Rng) -> Result<(), StoreError> {
    let mut all = cloud_pcs(tx, tenant)?;
    let is_left_out = |cloud_pc: &CloudPc| {
        cloud_pc.provisioning_policy_id.is_empty()
            || matches!(cloud_pc.status, CloudPcStatus::InGracePeriod | CloudPcStatus::Deprovisioning)
    };
    all.retain(|cloud_pc| !is_left_out(cloud_pc));
    let mut policies: BTreeMap<(String, bool), Vec<CloudPc>> = BTreeMap::new();
    for cloud_pc in all {
        if cloud_pc.user_id.map(|user| tx.user(tenant, user)).transpose()?.flatten().is_some() {
            let plan = tx.service_plan(tenant, cloud_pc.service_plan_id)?;
            let is_frontline = plan.is_some_and(|plan| plan.product == Product::Frontline);
            policies.entry((cloud_pc.provisioning_policy_id.clone(), is_frontline)).or_default().push(cloud_pc);
        }
    }
    let skus = put_subscriptions(tx, tenant, &policies, now, rng)?;
    let dedicated: BTreeSet<String> =
        policies.keys().filter(|(_, is_frontline)| !is_frontline).map(|(id, _)| id.clone()).collect();
    for ((id, is_frontline), cloud_pcs) in policies {
        let mut adopted = Adopted { id, is_frontline, cloud_pcs };
        if is_frontline && dedicated.contains(&adopted.id) {
            split_off(tx, &mut adopted, rng)?;
        }
        let assignments = put_policy(tx, tenant, &adopted, now, rng)?;
        for cloud_pc in &adopted.cloud_pcs {
            let plan = cloud_pc.service_plan_id;
            tx.entitlement_insert(&Entitlement {
                tenant_id: tenant,
                cloud_pc_id: cloud_pc.id,
                user_id: cloud_pc.user_id,
                policy_id: adopted.id.clone(),
                assignment_id: assignments.get(&plan).cloned().unwrap_or_default(),
                service_plan_id: plan,
                sku_id: skus.get(&plan).copied().filter(|_| !is_frontline),
            })?;
        }
    }
    Ok(())
}

/// Gives frontline Cloud PCs a policy of their own, because a policy gives either licences or
/// seats.
fn split_off(tx: &mut Tx<'_>, adopted: &mut Adopted, rng: &dyn Rng) -> Result<(), StoreError> {
    adopted.id = rng.uuid().to_string();
    for cloud_pc in &mut adopted.cloud_pcs {
        cloud_pc.provisioning_policy_id.clone_from(&adopted.id);
        cloud_pc.provisioning_policy_name.push_str(" frontline");
        tx.cloud_pc_update(cloud_pc)?;
    }
    Ok(())
}

fn cloud_pcs(reader: &Reader<'_>, tenant: TenantId) -> Result<Vec<CloudPc>, StoreError> {
    let mut all: Vec<CloudPc> = Vec::new();
    loop {
        let page = reader.cloud_pc_list(tenant, None, all.last().map(|last| last.id), PAGE_ROWS)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Makes a subscription for each service plan: with a licence for each user of a dedicated Cloud
/// PC, or with seats for all frontline Cloud PCs. Returns the products.
fn put_subscriptions(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    policies: &BTreeMap<(String, bool), Vec<CloudPc>>,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<BTreeMap<ServicePlanId, SkuId>, StoreError> {
    let mut sold: BTreeMap<ServicePlanId, (BTreeSet<UserId>, u64)> = BTreeMap::new();
    for ((_, is_frontline), cloud_pcs) in policies {
        for cloud_pc in cloud_pcs {
            let (holders, seats) = sold.entry(cloud_pc.service_plan_id).or_default();
            match is_frontline {
                true => *seats += 1,
                false => holders.extend(cloud_pc.user_id),
            }
        }
    }
    let mut skus = BTreeMap::new();
    for (plan_id, (holders, seats)) in sold {
        let sku_id = SkuId::random(rng);
        let plan = tx.service_plan(tenant, plan_id)?;
        let units = holders.len() as u64 + seats.div_ceil(SEATS_PER_LICENSE);
        tx.subscription_put(
            &Subscription {
                tenant_id: tenant,
                sku_id,
                service_plan_id: plan_id,
                sku_part_number: plan.as_ref().map(part_number).unwrap_or_default(),
                units: u32::try_from(units).unwrap_or(u32::MAX),
            },
            now,
        )?;
        for user in holders {
            if tx.license_assign(tenant, sku_id, LicenseHolder::User(user), now)?.is_err() {
                return Err(StoreError::Corrupt { table: "licenses", what: format!("{sku_id} has too few units") });
            }
        }
        skus.insert(plan_id, sku_id);
    }
    Ok(skus)
}

/// Returns the name of a product as Microsoft writes it, e.g. `CPC_E_2C_8GB_128GB`.
fn part_number(plan: &ServicePlan) -> String {
    let edition = match plan.product {
        Product::Enterprise => "E",
        Product::Business => "B",
        Product::Frontline => "F",
    };
    format!("CPC_{edition}_{}C_{}GB_{}GB", plan.vcpu_count, plan.ram_gib, plan.storage_gib)
}

/// Writes a policy like its Cloud PCs, and assigns it to a new group of their users. Returns the
/// ids of the assignments whose seats the Cloud PCs of each service plan take.
fn put_policy(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    adopted: &Adopted,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<BTreeMap<ServicePlanId, String>, StoreError> {
    let Adopted { id, is_frontline, cloud_pcs } = adopted;
    let mut seats = BTreeMap::new();
    let Some(first) = cloud_pcs.first() else { return Ok(seats) };
    let group = put_group(tx, tenant, adopted, first, now, rng)?;
    let image = tx.gallery_image(tenant, &first.image_id)?;
    let policy = json!({
        "displayName": first.provisioning_policy_name,
        "provisioningType": if *is_frontline { "sharedByUser" } else { "dedicated" },
        "imageId": first.image_id.0,
        "imageDisplayName": image.map(|image| image.display_name),
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": first.region}],
    });
    let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, id);
    put(tx, &PROVISIONING_POLICY, tenant, key, policy, now)?;
    let assignment = |id_of_assignment: &str| {
        DocumentKey::within(DocumentType::CloudPcProvisioningPolicyAssignment, id, id_of_assignment)
    };
    let kind = "#microsoft.graph.cloudPcManagementGroupAssignmentTarget";
    if !is_frontline {
        let target = json!({"@odata.type": kind, "groupId": group});
        let key = assignment(&format!("{id}_{group}"));
        put(tx, &PROVISIONING_POLICY_ASSIGNMENT, tenant, key, json!({ "target": target }), now)?;
        return Ok(seats);
    }
    let plans: BTreeSet<ServicePlanId> = cloud_pcs.iter().map(|cloud_pc| cloud_pc.service_plan_id).collect();
    for plan in plans {
        let target = json!({"@odata.type": kind, "groupId": group, "servicePlanId": plan});
        let key = assignment(&rng.uuid().to_string());
        seats.insert(plan, key.id.clone());
        put(tx, &PROVISIONING_POLICY_ASSIGNMENT, tenant, key, json!({ "target": target }), now)?;
    }
    Ok(seats)
}

/// Writes a group of the users of a policy's Cloud PCs.
fn put_group(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    adopted: &Adopted,
    first: &CloudPc,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<GroupId, StoreError> {
    let group = GroupId::random(rng);
    tx.group_put(&Group {
        tenant_id: tenant,
        id: group,
        display_name: first.provisioning_policy_name.clone(),
        description: Some("Users of the provisioning policy of this name, made by an upgrade.".into()),
        mail_nickname: format!("policy-{}", adopted.id),
        mail_enabled: false,
        security_enabled: true,
        created_at: now,
    })?;
    let users: BTreeSet<UserId> = adopted.cloud_pcs.iter().filter_map(|cloud_pc| cloud_pc.user_id).collect();
    for user in users {
        tx.group_member_insert(tenant, group, user, now)?;
    }
    Ok(group)
}

/// Writes a document with its defaults, unless there is one.
fn put(
    tx: &mut Tx<'_>,
    kind: &DocumentKind,
    tenant: TenantId,
    key: DocumentKey,
    body: Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Value::Object(mut body) = body else { return Ok(()) };
    if tx.document(tenant, &key)?.is_some() {
        return Ok(());
    }
    body::fill_defaults(kind, &mut body);
    let mut document = Document {
        tenant_id: tenant,
        key,
        revision: 1,
        body,
        status: Object::new(),
        secret_counts: Object::new(),
        created_at: now,
        modified_at: now,
    };
    if tx.document_insert(&document, &body::index(kind, &document.body))?.is_err() {
        // Another policy has the name in another case.
        let name = format!("{} {}", document.body["displayName"].as_str().unwrap_or_default(), document.key.id);
        document.body.insert("displayName".into(), json!(name));
        let written = tx.document_insert(&document, &body::index(kind, &document.body))?;
        written.map_err(|conflict| StoreError::Corrupt { table: "documents", what: format!("{conflict:?}") })?;
    }
    Ok(())
}
