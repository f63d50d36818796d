//! Upgrade of a data directory whose Cloud PCs have the name of a policy, but no policy, group or
//! licence: makes these, so that every Cloud PC stays as it is.

use cloudpc_model::{
    CloudPc, CloudPcStatus, Document, DocumentKey, DocumentType, GroupId, Object, Product, Rng, ServicePlan,
    ServicePlanId, SkuId, TenantId, Timestamp, UserId,
};
use cloudpc_store::{Entitlement, Group, LicenseHolder, Reader, StoreError, Subscription, Tx};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

use super::body;
use super::kind::Kind;
use super::kinds::{PROVISIONING_POLICY, PROVISIONING_POLICY_ASSIGNMENT};

/// Cloud PCs read at a time.
const PAGE_ROWS: usize = 1_000;

/// Makes the policies, groups and licences of a tenant's Cloud PCs. Cloud PCs in their grace period
/// are left out: they lost their licence or assignment before.
pub fn adopt(tx: &mut Tx<'_>, tenant: TenantId, now: Timestamp, rng: &dyn Rng) -> Result<(), StoreError> {
    let mut policies: BTreeMap<String, Vec<CloudPc>> = BTreeMap::new();
    for cloud_pc in cloud_pcs(tx, tenant)? {
        let is_left_out = cloud_pc.provisioning_policy_id.is_empty()
            || matches!(cloud_pc.status, CloudPcStatus::InGracePeriod | CloudPcStatus::Deprovisioning);
        if !is_left_out && tx.user(tenant, cloud_pc.user_id)?.is_some() {
            policies.entry(cloud_pc.provisioning_policy_id.clone()).or_default().push(cloud_pc);
        }
    }
    let skus = sell(tx, tenant, policies.values().flatten(), now, rng)?;
    for (id, cloud_pcs) in &policies {
        put_policy(tx, tenant, id, cloud_pcs, now, rng)?;
        for cloud_pc in cloud_pcs {
            let plan = cloud_pc.service_plan_id;
            tx.entitlement_insert(&Entitlement {
                tenant_id: tenant,
                cloud_pc_id: cloud_pc.id,
                user_id: cloud_pc.user_id,
                policy_id: id.clone(),
                assignment_id: String::new(),
                service_plan_id: plan,
                sku_id: skus.get(&plan).copied(),
            })?;
        }
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

/// Makes a subscription for each service plan with a licence for each user who has such a Cloud PC;
/// returns the products.
fn sell<'a>(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    cloud_pcs: impl Iterator<Item = &'a CloudPc>,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<BTreeMap<ServicePlanId, SkuId>, StoreError> {
    let mut holders: BTreeMap<ServicePlanId, BTreeSet<UserId>> = BTreeMap::new();
    for cloud_pc in cloud_pcs {
        holders.entry(cloud_pc.service_plan_id).or_default().insert(cloud_pc.user_id);
    }
    let mut skus = BTreeMap::new();
    for (plan_id, users) in holders {
        let sku_id = SkuId::random(rng);
        let plan = tx.service_plan(tenant, plan_id)?;
        tx.subscription_put(
            &Subscription {
                tenant_id: tenant,
                sku_id,
                service_plan_id: plan_id,
                sku_part_number: plan.as_ref().map(part_number).unwrap_or_default(),
                units: u32::try_from(users.len()).unwrap_or(u32::MAX),
            },
            now,
        )?;
        for user in users {
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

/// Writes a policy like its Cloud PCs, a group of their users, and the assignment of one to the
/// other.
fn put_policy(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: &str,
    cloud_pcs: &[CloudPc],
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<(), StoreError> {
    let Some(first) = cloud_pcs.first() else { return Ok(()) };
    let group = GroupId::random(rng);
    tx.group_put(&Group {
        tenant_id: tenant,
        id: group,
        display_name: first.provisioning_policy_name.clone(),
        description: Some("Users of the provisioning policy of this name, made by an upgrade.".into()),
        mail_nickname: format!("policy-{id}"),
        mail_enabled: false,
        security_enabled: true,
        created_at: now,
    })?;
    let users: BTreeSet<UserId> = cloud_pcs.iter().map(|cloud_pc| cloud_pc.user_id).collect();
    for user in users {
        tx.group_member_insert(tenant, group, user, now)?;
    }
    let image = tx.gallery_image(tenant, &first.image_id)?;
    let policy = json!({
        "displayName": first.provisioning_policy_name,
        "imageId": first.image_id.0,
        "imageDisplayName": image.map(|image| image.display_name),
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": first.region}],
    });
    let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, id);
    put(tx, &PROVISIONING_POLICY, tenant, key, policy, now)?;
    let key = DocumentKey::within(DocumentType::CloudPcProvisioningPolicyAssignment, id, &format!("{id}_{group}"));
    let target = json!({"@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget", "groupId": group});
    put(tx, &PROVISIONING_POLICY_ASSIGNMENT, tenant, key, json!({ "target": target }), now)
}

/// Writes a document with its defaults, unless there is one.
fn put(
    tx: &mut Tx<'_>,
    kind: &Kind,
    tenant: TenantId,
    key: DocumentKey,
    body: Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Value::Object(mut body) = body else { return Ok(()) };
    if tx.document(tenant, &key)?.is_some() {
        return Ok(());
    }
    body::settle(kind, &mut body);
    let mut document = Document {
        tenant_id: tenant,
        key,
        revision: 1,
        body,
        status: Object::new(),
        sealed: Object::new(),
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
