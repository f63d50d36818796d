//! Turns the current fleet into a scenario file.

use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_engine::{Effect, FaultRule};
use cloudpc_model::{
    CloudPc, CloudPcId, CloudPcStatus, DocumentType, GalleryImage, Partner, ProvisioningType, ServicePlan, TenantId,
    Timestamp, UserExperienceType,
};
use cloudpc_store::{Entitlement, LicenseHolder, Reader, StoreError, User};
use std::collections::HashMap;
use toml::value::Datetime;

use super::{PAGE_ROWS, conditions, directory, documents, file, machines};

/// Returns the content of the store as a scenario.
pub(super) fn describe(
    reader: &Reader<'_>,
    rules: Vec<FaultRule>,
    scripted_condition: &dyn Fn(CloudPcId) -> ScriptedCondition,
) -> Result<file::Scenario, StoreError> {
    let conditions = conditions(reader)?;
    let tenants = reader.tenant_list()?.into_iter().map(|(id, name)| tenant(reader, id, name, scripted_condition));
    Ok(file::Scenario {
        pace: Some(conditions.pace),
        artifacts: conditions.artifacts,
        faults: rules.into_iter().map(fault).collect(),
        tenants: tenants.collect::<Result<_, _>>()?,
    })
}

fn tenant(
    reader: &Reader<'_>,
    id: TenantId,
    name: String,
    scripted_condition: &dyn Fn(CloudPcId) -> ScriptedCondition,
) -> Result<file::TenantEntry, StoreError> {
    let users = users(reader, id)?;
    let mut entries = Vec::with_capacity(users.len());
    let shared = reader.shared_entitlement_list(id)?;
    let mut entitlements: HashMap<_, _> = shared.into_iter().map(|held| (held.cloud_pc_id, held)).collect();
    for found in users {
        entitlements.extend(reader.entitlement_list(id, found.id)?.into_iter().map(|held| (held.cloud_pc_id, held)));
        let licenses = directory::licenses(reader, id, LicenseHolder::User(found.id))?;
        entries.push(user(found, licenses));
    }
    Ok(file::TenantEntry {
        id: Some(id.0),
        name,
        domain: None,
        users: entries,
        apps: Vec::new(),
        service_plans: reader.service_plan_list(id)?.into_iter().map(service_plan).collect(),
        gallery_images: reader.gallery_image_list(id)?.into_iter().map(gallery_image).collect(),
        subscriptions: directory::subscriptions(reader, id)?,
        groups: directory::groups(reader, id)?,
        provisioning_policies: documents::describe(
            reader,
            id,
            DocumentType::CloudPcProvisioningPolicy,
            DocumentType::CloudPcProvisioningPolicyAssignment,
        )?,
        user_settings: documents::describe(
            reader,
            id,
            DocumentType::CloudPcUserSetting,
            DocumentType::CloudPcUserSettingAssignment,
        )?,
        cloud_pcs: cloud_pcs(reader, id, entitlements, scripted_condition)?,
        fleets: Vec::new(),
        partners: partners(reader, id)?,
    })
}

fn users(reader: &Reader<'_>, tenant: TenantId) -> Result<Vec<User>, StoreError> {
    let mut users: Vec<User> = Vec::new();
    loop {
        let page = reader.user_list(tenant, users.last().map(|last| last.id), PAGE_ROWS)?;
        if page.is_empty() {
            return Ok(users);
        }
        users.extend(page);
    }
}

/// Returns the entries of a tenant's Cloud PCs. Those that wait for provisioning are left out: the
/// reconciler makes them again.
fn cloud_pcs(
    reader: &Reader<'_>,
    tenant: TenantId,
    mut entitlements: HashMap<CloudPcId, Entitlement>,
    scripted_condition: &dyn Fn(CloudPcId) -> ScriptedCondition,
) -> Result<Vec<file::CloudPcEntry>, StoreError> {
    let mut entries = Vec::new();
    for pc in machines::cloud_pcs(reader, tenant)? {
        if pc.status == CloudPcStatus::PendingProvision {
            continue;
        }
        let scripted_condition = scripted_condition(pc.id);
        let busy = reader.action_open_remote(tenant, &pc.id.to_string())?.is_some();
        let held = entitlements.remove(&pc.id).map(|held| entitlement(reader, held)).transpose()?;
        entries.push(file::CloudPcEntry { entitlement: held, ..cloud_pc(pc, busy, scripted_condition) });
    }
    Ok(entries)
}

fn partners(reader: &Reader<'_>, tenant: TenantId) -> Result<Vec<file::PartnerEntry>, StoreError> {
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = reader.partner_list(tenant, after, PAGE_ROWS)?;
        let Some(last) = page.last() else { return Ok(entries) };
        after = Some(last.id);
        entries.extend(page.into_iter().map(partner));
    }
}

fn cloud_pc(pc: CloudPc, busy: bool, scripted_condition: ScriptedCondition) -> file::CloudPcEntry {
    let status = match pc.status {
        // Provisioning, deprovisioning and applying a policy are not remote actions, so `busy` does
        // not report them.
        CloudPcStatus::Provisioning if pc.provisioned_at.is_none() => CloudPcStatus::Provisioned,
        CloudPcStatus::Deprovisioning if pc.status_before.is_some() => CloudPcStatus::InGracePeriod,
        status if status.is_policy_change() => pc.status_before.unwrap_or(CloudPcStatus::Provisioned),
        CloudPcStatus::ResizePendingLicense => CloudPcStatus::Provisioned,
        CloudPcStatus::Preparing => pc.status_before.unwrap_or(CloudPcStatus::Provisioned),
        CloudPcStatus::Provisioning | CloudPcStatus::Resizing | CloudPcStatus::Restoring if busy => {
            CloudPcStatus::Provisioned
        }
        status => status,
    };
    file::CloudPcEntry {
        id: Some(pc.id.0),
        managed_device_id: Some(pc.managed_device_id.0),
        managed_device_name: Some(pc.managed_device_name),
        aad_device_id: Some(pc.aad_device_id),
        name: pc.display_name,
        // Sessions are not saved.
        user: Some(pc.user_principal_name).filter(|_| pc.provisioning_type != ProvisioningType::SharedByEntraGroup),
        service_plan: pc.service_plan_id.to_string(),
        product: Some(pc.product),
        user_experience_type: (pc.user_experience_type != UserExperienceType::CloudPc)
            .then_some(pc.user_experience_type),
        image: Some(pc.image_id.0),
        os_version: Some(pc.os_version),
        user_account_type: Some(pc.user_account_type),
        region: Some(pc.region),
        single_sign_on: pc.single_sign_on,
        provisioning_policy: pc.provisioning_policy_name,
        status,
        created_at: Some(datetime(pc.created_at)),
        provisioned_at: pc.provisioned_at.map(datetime),
        grace_ends_at: pc.grace_ends_at.map(datetime),
        status_detail: pc.status_detail,
        entitlement: None,
        scripted_condition,
    }
}

fn entitlement(reader: &Reader<'_>, held: Entitlement) -> Result<file::EntitlementEntry, StoreError> {
    let product = held.sku_id.map(|sku| reader.subscription(held.tenant_id, sku)).transpose()?.flatten();
    Ok(file::EntitlementEntry {
        policy: held.policy_id,
        license: product.map(|product| product.sku_part_number),
        assignment: Some(held.assignment_id).filter(|id| !id.is_empty()),
        service_plan: Some(held.service_plan_id.to_string()),
    })
}

fn user(user: User, licenses: Vec<String>) -> file::UserEntry {
    let profile = user.profile;
    file::UserEntry {
        id: Some(user.id.0),
        name: user.user_principal_name,
        display_name: user.display_name,
        password: None,
        password_hash: user.password_hash,
        generate_password: false,
        roles: user.roles,
        permissions: user.permissions,
        enabled: user.enabled,
        given_name: profile.given_name,
        surname: profile.surname,
        mail: profile.mail,
        mail_nickname: profile.mail_nickname,
        job_title: profile.job_title,
        department: profile.department,
        usage_location: profile.usage_location,
        created_at: user.created_at.map(datetime),
        licenses,
    }
}

fn service_plan(plan: ServicePlan) -> file::ServicePlanEntry {
    file::ServicePlanEntry {
        id: Some(plan.id.0),
        name: plan.display_name,
        vcpu_count: plan.vcpu_count,
        ram_gib: plan.ram_gib,
        storage_gib: plan.storage_gib,
        product: plan.product,
        gpu: plan.gpu,
    }
}

fn gallery_image(image: GalleryImage) -> file::GalleryImageEntry {
    file::GalleryImageEntry {
        id: image.id.0,
        name: image.display_name,
        size_gib: image.size_gib,
        os_version: image.os_version,
        os_version_number: image.os_version_number,
    }
}

fn partner(partner: Partner) -> file::PartnerEntry {
    file::PartnerEntry {
        id: Some(partner.id.0),
        partner_id: partner.partner_id,
        enable_connection: partner.enable_connection,
        allowed_urls: partner.allowed_urls,
        last_sync_at: partner.last_sync_at.map(datetime),
        agent: partner.agent.map(|agent| file::AgentEntry {
            url: agent.url,
            sha256: agent.sha256,
            install_parameters: agent.install_parameters,
            auto_deploy: agent.auto_deploy,
            detection: agent.detection,
        }),
    }
}

fn fault(rule: FaultRule) -> file::FaultEntry {
    let (effect, code, message, by_ms) = match rule.effect {
        Effect::Fail { code, message } => (file::EffectEntry::Fail, Some(code), Some(message), None),
        Effect::Hang => (file::EffectEntry::Hang, None, None, None),
        Effect::SlowDown { by_ms } => (file::EffectEntry::SlowDown, None, None, Some(by_ms)),
        Effect::LoseOutcome => (file::EffectEntry::LoseOutcome, None, None, None),
        Effect::Crash => (file::EffectEntry::Crash, None, None, None),
    };
    file::FaultEntry {
        tenant_id: rule.tenant_id.map(|tenant| tenant.0),
        cloud_pcs: rule.cloud_pcs.iter().map(ToString::to_string).collect(),
        share_percent: rule.share_percent,
        kind: rule.kind,
        step: rule.step,
        nth: rule.nth,
        undo: rule.undo,
        effect,
        code,
        message,
        by_ms,
    }
}

pub(super) fn datetime(at: Timestamp) -> Datetime {
    at.to_string().parse().expect("a timestamp of ours is a TOML date and time")
}
