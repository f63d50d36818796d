//! Turns a scenario file into domain values: resolves every name, derives missing ids, and reports
//! mistakes before anything is changed.
//!
//! These functions are pure except for password hashing, which the caller passes in.

use cloudpc_drivers::sim::{Artifact, Pace, ScriptedCondition};
use cloudpc_engine::actions::recipe;
use cloudpc_engine::{Effect, FaultRule};
use cloudpc_identity::BUILT_IN_CLIENT;
use cloudpc_model::{
    AgentSetting, AppId, CloudPc, CloudPcId, DocumentType, Error, GalleryImage, ImageId, Kind, OsVersion, Partner,
    PartnerId, ServicePlan, ServicePlanId, TenantId, Timestamp, UserId,
};
use cloudpc_store::{Application, Entitlement, User, UserProfile};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Display;
use strum::IntoEnumIterator as _;
use toml::value::Datetime;
use uuid::Uuid;

use super::cloud_pcs::{Lookup, members};
use super::directory::{self, DirectoryEntries, ResolvedDirectory};
use super::documents::{self, ScenarioDocument};
use super::file;

/// Limit of Cloud PCs in a scenario.
pub(super) const CLOUD_PCS_MAX: usize = 1_000_000;

/// A scenario as domain values.
pub(super) struct ResolvedScenario {
    pub pace: Pace,
    pub artifacts: Vec<Artifact>,
    pub faults: Vec<FaultRule>,
    pub tenants: Vec<ResolvedTenant>,
    /// When the scenario was resolved.
    pub at: Timestamp,
}

/// A tenant of a scenario as domain values.
pub(super) struct ResolvedTenant {
    pub id: TenantId,
    pub name: String,
    pub users: Vec<User>,
    pub apps: Vec<Application>,
    pub service_plans: Vec<ServicePlan>,
    pub gallery_images: Vec<GalleryImage>,
    pub directory: ResolvedDirectory,
    /// Policies and settings, which are checked when they are written.
    pub documents: Vec<ScenarioDocument>,
    /// What entitles users to Cloud PCs, where the scenario says so.
    pub entitlements: Vec<Entitlement>,
    pub partners: Vec<Partner>,
    /// Cloud PCs in the order of their ids, in which inserting them is fastest.
    pub cloud_pcs: Vec<CloudPc>,
    /// The scripted conditions of simulated machines that are not healthy.
    pub scripted_conditions: HashMap<CloudPcId, ScriptedCondition>,
}

impl ResolvedTenant {
    /// Returns the Cloud PCs of the scenario's policies without a stated entitlement.
    pub fn cloud_pcs_to_entitle(&self) -> Vec<&CloudPc> {
        let policies: HashSet<_> = self.documents.iter().map(|document| document.id.as_str()).collect();
        let stated: HashSet<_> = self.entitlements.iter().map(|entitlement| entitlement.cloud_pc_id).collect();
        let is_missing =
            |pc: &&CloudPc| policies.contains(pc.provisioning_policy_id.as_str()) && !stated.contains(&pc.id);
        self.cloud_pcs.iter().filter(is_missing).collect()
    }
}

/// Resolves a scenario as of `now`. The first tenant without an id becomes `home`, if there is one.
///
/// # Errors
/// Invalid, naming the entry and what to do.
pub(super) fn resolve(
    mut scenario: file::Scenario,
    home: Option<TenantId>,
    now: Timestamp,
    hash_password: &dyn Fn(&str) -> Result<String, Error>,
) -> Result<ResolvedScenario, Error> {
    check_count(&scenario.tenants)?;
    if scenario.tenants.is_empty() {
        return Err(Error::invalid("Invalid scenario: it has no tenant; add a [[tenants]] entry with a name."));
    }
    for artifact in &scenario.artifacts {
        check_sha256(&artifact.sha256, &format!("artifact '{}'", artifact.url))?;
    }
    if let (Some(home), Some(tenant)) = (home, scenario.tenants.iter_mut().find(|tenant| tenant.id.is_none())) {
        tenant.id = Some(home.0);
    }
    let tenants = scenario
        .tenants
        .into_iter()
        .map(|tenant| resolve_tenant(tenant, now, hash_password))
        .collect::<Result<Vec<_>, _>>()?;
    check_unique("tenant", tenants.iter().map(|tenant| (tenant.id, tenant.name.as_str())))?;
    check_unique("tenant", tenants.iter().map(|tenant| (tenant.name.as_str(), tenant.name.as_str())))?;
    check_unique(
        "Cloud PC",
        tenants.iter().flat_map(|tenant| &tenant.cloud_pcs).map(|pc| (pc.id, pc.display_name.as_str())),
    )?;
    let faults = scenario
        .faults
        .into_iter()
        .enumerate()
        .map(|(index, fault)| resolve_fault(fault, index + 1, &tenants))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ResolvedScenario {
        pace: scenario.pace.unwrap_or_default(),
        artifacts: scenario.artifacts,
        faults,
        tenants,
        at: now,
    })
}

fn check_count(tenants: &[file::TenantEntry]) -> Result<(), Error> {
    let generated = tenants.iter().flat_map(|tenant| &tenant.fleets).map(|fleet| u64::from(fleet.count));
    let single = tenants.iter().map(|tenant| tenant.cloud_pcs.len() as u64);
    let count: u64 = generated.chain(single).sum();
    if count > CLOUD_PCS_MAX as u64 {
        return Err(Error::invalid(format!("Invalid scenario: {count} Cloud PCs; the maximum is {CLOUD_PCS_MAX}.")));
    }
    Ok(())
}

fn resolve_tenant(
    tenant: file::TenantEntry,
    now: Timestamp,
    hash_password: &dyn Fn(&str) -> Result<String, Error>,
) -> Result<ResolvedTenant, Error> {
    let place = format!("tenant '{}'", tenant.name);
    let id = TenantId(tenant.id.unwrap_or_else(|| derived(&tenant.name, "tenant", "")));
    if id == TenantId::INSTALLATION {
        return Err(invalid(
            &place,
            format!("the id {id} is reserved for the installation; remove it, or use another id"),
        ));
    }
    let within = Within { id, name: &tenant.name };
    let directory = DirectoryEntries {
        subscriptions: tenant.subscriptions,
        groups: tenant.groups,
        user_licenses: tenant.users.iter().map(|user| (user.name.clone(), user.licenses.clone())).collect(),
    };
    let users = resolve_users(tenant.users, within, tenant.domain.as_deref(), &place, now, hash_password)?;
    let service_plans: Vec<_> = tenant.service_plans.into_iter().map(|plan| service_plan(plan, within)).collect();
    check_unique("service plan", service_plans.iter().map(|plan| (plan.id, plan.display_name.as_str())))?;
    let gallery_images: Vec<_> = tenant.gallery_images.into_iter().map(gallery_image).collect::<Result<_, _>>()?;
    check_unique("gallery image", gallery_images.iter().map(|image| (&image.id, image.display_name.as_str())))?;
    let partners =
        tenant.partners.into_iter().map(|partner| resolve_partner(partner, within)).collect::<Result<Vec<_>, _>>()?;
    check_unique(
        "partner",
        partners.iter().map(|partner| (partner.partner_id.to_ascii_lowercase(), partner.partner_id.as_str())),
    )?;

    let lookup = Lookup { within, domain: tenant.domain, now, users, service_plans, gallery_images };
    let directory = directory::resolve(directory, &lookup)?;
    let mut documents = Vec::new();
    for (kind, entries) in [
        (DocumentType::CloudPcProvisioningPolicy, tenant.provisioning_policies),
        (DocumentType::CloudPcUserSetting, tenant.user_settings),
    ] {
        documents.extend(documents::resolve(kind, entries, &directory, &lookup)?);
    }
    let generated = tenant.fleets.iter().map(|fleet| members(fleet, &lookup)).collect::<Result<Vec<_>, _>>()?;
    let entries = tenant.cloud_pcs.into_iter().chain(generated.into_iter().flatten());
    let ResolvedCloudPcs { cloud_pcs, entitlements, scripted_conditions } =
        resolve_cloud_pcs(entries, &documents, &directory, &lookup)?;

    Ok(ResolvedTenant {
        id,
        apps: tenant.apps.into_iter().map(|app| resolve_app(app, within, &place)).collect::<Result<_, _>>()?,
        users: lookup.users,
        service_plans: lookup.service_plans,
        gallery_images: lookup.gallery_images,
        directory,
        documents,
        entitlements,
        partners,
        cloud_pcs,
        scripted_conditions,
        name: tenant.name,
    })
}

/// The Cloud PCs of a tenant.
struct ResolvedCloudPcs {
    cloud_pcs: Vec<CloudPc>,
    entitlements: Vec<Entitlement>,
    scripted_conditions: HashMap<CloudPcId, ScriptedCondition>,
}

fn resolve_cloud_pcs(
    entries: impl Iterator<Item = file::CloudPcEntry>,
    documents: &[ScenarioDocument],
    directory: &ResolvedDirectory,
    lookup: &Lookup<'_>,
) -> Result<ResolvedCloudPcs, Error> {
    let (mut cloud_pcs, mut entitlements) = (Vec::new(), Vec::new());
    let mut scripted_conditions = HashMap::new();
    for mut entry in entries {
        let entitlement = entry.entitlement.take();
        let (mut cloud_pc, scripted_condition) = lookup.cloud_pc(entry)?;
        if let Some(policy) = policy_named(documents, &cloud_pc.provisioning_policy_name) {
            cloud_pc.provisioning_policy_id.clone_from(&policy.id);
        }
        if let Some(entitlement) = entitlement {
            entitlements.push(lookup.entitlement(entitlement, &cloud_pc, directory)?);
        }
        if scripted_condition != ScriptedCondition::default() {
            scripted_conditions.insert(cloud_pc.id, scripted_condition);
        }
        cloud_pcs.push(cloud_pc);
    }
    cloud_pcs.sort_unstable_by_key(|cloud_pc| cloud_pc.id);
    Ok(ResolvedCloudPcs { cloud_pcs, entitlements, scripted_conditions })
}

fn policy_named<'a>(documents: &'a [ScenarioDocument], name: &str) -> Option<&'a ScenarioDocument> {
    let mut policies = documents.iter().filter(|own| own.kind == DocumentType::CloudPcProvisioningPolicy);
    policies.find(|policy| policy.body.get("displayName").is_some_and(|own| own == name))
}

fn resolve_users(
    users: Vec<file::UserEntry>,
    within: Within<'_>,
    domain: Option<&str>,
    tenant: &str,
    now: Timestamp,
    hash_password: &dyn Fn(&str) -> Result<String, Error>,
) -> Result<Vec<User>, Error> {
    let users = users
        .into_iter()
        .map(|user| {
            let place = format!("user '{}' of {tenant}", user.name);
            let user_principal_name = user_principal_name(&user.name, domain, &place)?;
            let password_hash = match (user.password, user.password_hash) {
                (Some(_), Some(_)) => {
                    return Err(invalid(&place, "both password and password_hash are set; keep one of them"));
                }
                (Some(password), None) => Some(hash_password(&password)?),
                (None, hash) => hash,
            };
            Ok(User {
                tenant_id: within.id,
                id: UserId(user.id.unwrap_or_else(|| within.derived("user", &user_principal_name))),
                display_name: if user.display_name.is_empty() { user.name } else { user.display_name },
                user_principal_name,
                password_hash,
                roles: user.roles,
                permissions: user.permissions,
                enabled: user.enabled,
                profile: UserProfile {
                    given_name: user.given_name,
                    surname: user.surname,
                    mail: user.mail,
                    mail_nickname: user.mail_nickname,
                    job_title: user.job_title,
                    department: user.department,
                    usage_location: user.usage_location,
                },
                created_at: Some(user.created_at.map_or(Ok(now), |at| timestamp(at, &place))?),
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    check_unique(
        "user",
        users.iter().map(|user| (user.user_principal_name.to_ascii_lowercase(), user.display_name.as_str())),
    )?;
    check_unique("user", users.iter().map(|user| (user.id, user.user_principal_name.as_str())))?;
    Ok(users)
}

fn resolve_app(app: file::AppEntry, within: Within<'_>, tenant: &str) -> Result<Application, Error> {
    let id = AppId(app.id.unwrap_or_else(|| within.derived("app", &app.name)));
    if id == BUILT_IN_CLIENT {
        let place = format!("app '{}' of {tenant}", app.name);
        return Err(invalid(
            &place,
            format!("the id {id} is reserved for the built-in client; remove it, or use another id"),
        ));
    }
    Ok(Application {
        tenant_id: within.id,
        id,
        name: app.name,
        secret_hash: app.secret.map(|secret| Sha256::digest(secret.as_bytes()).into()),
        permissions: app.permissions,
        enabled: true,
    })
}

fn service_plan(plan: file::ServicePlanEntry, within: Within<'_>) -> ServicePlan {
    ServicePlan {
        id: ServicePlanId(plan.id.unwrap_or_else(|| within.derived("servicePlan", &plan.name))),
        display_name: plan.name,
        vcpu_count: plan.vcpu_count,
        ram_gib: plan.ram_gib,
        storage_gib: plan.storage_gib,
        product: plan.product,
        gpu: plan.gpu,
    }
}

fn gallery_image(image: file::GalleryImageEntry) -> Result<GalleryImage, Error> {
    if let Some(number) = &image.os_version_number
        && OsVersion::of_number(number) != Some(image.os_version)
    {
        let place = format!("gallery image '{}'", image.id);
        return Err(invalid(
            &place,
            format!(
                "'{number}' is not a version of its os_version; remove it, or use a version such as 10.0.22631.3880"
            ),
        ));
    }
    Ok(GalleryImage {
        id: ImageId(image.id),
        display_name: image.name,
        size_gib: image.size_gib,
        os_version: image.os_version,
        os_version_number: image.os_version_number,
    })
}

fn resolve_partner(partner: file::PartnerEntry, within: Within<'_>) -> Result<Partner, Error> {
    let place = format!("partner '{}'", partner.partner_id);
    let agent = partner
        .agent
        .map(|agent| {
            check_sha256(&agent.sha256, &format!("agent of {place}"))?;
            Ok::<_, Error>(AgentSetting {
                url: agent.url,
                sha256: agent.sha256,
                install_parameters: agent.install_parameters,
                auto_deploy: agent.auto_deploy,
                detection: agent.detection,
            })
        })
        .transpose()?;
    Ok(Partner {
        tenant_id: within.id,
        id: PartnerId(partner.id.unwrap_or_else(|| within.derived("externalPartner", &partner.partner_id))),
        last_sync_at: partner.last_sync_at.map(|at| timestamp(at, &place)).transpose()?,
        partner_id: partner.partner_id,
        enable_connection: partner.enable_connection,
        agent,
        allowed_urls: partner.allowed_urls,
    })
}

fn resolve_fault(fault: file::FaultEntry, number: usize, tenants: &[ResolvedTenant]) -> Result<FaultRule, Error> {
    let place = format!("fault {number}");
    let mut cloud_pcs = Vec::new();
    for name in fault.cloud_pcs {
        let id = name.parse().ok();
        let before = cloud_pcs.len();
        let all = tenants.iter().flat_map(|tenant| &tenant.cloud_pcs);
        cloud_pcs.extend(all.filter(|pc| pc.display_name == name || Some(pc.id) == id).map(|pc| pc.id));
        if cloud_pcs.len() == before {
            return Err(invalid(&place, format!("the scenario has no Cloud PC with the name or id '{name}'")));
        }
    }
    let effect = match (fault.effect, fault.code, fault.message, fault.by_ms) {
        (file::EffectEntry::Fail, Some(code), message, None) => {
            Effect::Fail { code, message: message.unwrap_or_default() }
        }
        (file::EffectEntry::Fail, ..) => {
            return Err(invalid(&place, "effect 'fail' requires code, and accepts only code and message"));
        }
        (file::EffectEntry::SlowDown, None, None, Some(by_ms)) => Effect::SlowDown { by_ms },
        (file::EffectEntry::SlowDown, ..) => {
            return Err(invalid(&place, "effect 'slowDown' requires by_ms, and accepts neither code nor message"));
        }
        (file::EffectEntry::Hang, None, None, None) => Effect::Hang,
        (file::EffectEntry::LoseOutcome, None, None, None) => Effect::LoseOutcome,
        (file::EffectEntry::Crash, None, None, None) => Effect::Crash,
        _ => return Err(invalid(&place, "its effect accepts none of code, message and by_ms")),
    };
    let tenant_id = fault.tenant_id.map(TenantId);
    if let Some(id) = tenant_id.filter(|id| tenants.iter().all(|tenant| tenant.id != *id)) {
        return Err(invalid(&place, format!("the scenario has no tenant with the id '{id}'")));
    }
    let rule = FaultRule {
        tenant_id,
        cloud_pcs,
        share_percent: fault.share_percent,
        kind: fault.kind,
        step: fault.step,
        nth: fault.nth,
        undo: fault.undo,
        effect,
    };
    match fault_rule_problem(&rule) {
        None => Ok(rule),
        Some(problem) => Err(invalid(&place, problem)),
    }
}

/// Returns why a rule would never match; none if it can match.
pub fn fault_rule_problem(rule: &FaultRule) -> Option<String> {
    if let Some(share) = rule.share_percent.filter(|share| *share > 100) {
        return Some(format!("share_percent is {share}; the maximum is 100"));
    }
    if rule.nth == Some(0) {
        return Some("nth is 0; the first match is 1".to_owned());
    }
    let kinds = Kind::iter().filter(|kind| rule.kind.is_none_or(|only| only == *kind));
    let names: BTreeSet<_> = kinds.flat_map(|kind| recipe(kind).steps).map(|step| step.name).collect();
    let step = rule.step.as_deref().filter(|step| !names.contains(step))?;
    Some(format!("unknown step '{step}'; available steps: {}", Vec::from_iter(names).join(", ")))
}

/// The tenant of an entry.
#[derive(Clone, Copy)]
pub(super) struct Within<'a> {
    pub id: TenantId,
    pub name: &'a str,
}

impl Within<'_> {
    /// Returns the id of an entry without an explicit id.
    pub fn derived(self, what: &str, name: &str) -> Uuid {
        derived(self.name, what, name)
    }
}

/// Returns a deterministic id for a name in a tenant. It has the form of a random (version 4) UUID,
/// like the ids of the real service.
fn derived(tenant: &str, what: &str, name: &str) -> Uuid {
    let text = [tenant, what, name].join("\0");
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(text)[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

pub(super) fn user_principal_name(name: &str, domain: Option<&str>, place: &str) -> Result<String, Error> {
    match (name.split_once('@'), domain) {
        (Some((alias, host)), _) if !alias.is_empty() && !host.is_empty() => Ok(name.to_owned()),
        (None, Some(domain)) if !name.is_empty() => Ok(format!("{name}@{domain}")),
        (None, None) => Err(invalid(
            place,
            format!("'{name}' has no domain; use a full name such as ada@contoso.test, or set the tenant's domain"),
        )),
        _ => Err(invalid(place, format!("'{name}' is not a user name; expected a form such as ada@contoso.test"))),
    }
}

pub(super) fn timestamp(value: Datetime, place: &str) -> Result<Timestamp, Error> {
    let text = value.to_string();
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        invalid(place, format!("{text} is not a timestamp; expected a form such as 2026-01-31T08:00:00Z"))
    })?;
    Ok(Timestamp(time.as_microsecond()))
}

fn check_sha256(sha256: &str, place: &str) -> Result<(), Error> {
    if sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(invalid(place, format!("invalid sha256 '{sha256}'; expected 64 hex digits as printed by sha256sum FILE")))
}

/// Refuses two entries with the same key.
pub(super) fn check_unique<'a, K: Eq + std::hash::Hash>(
    what: &str,
    entries: impl Iterator<Item = (K, &'a str)>,
) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for (key, name) in entries {
        if !seen.insert(key) {
            return Err(invalid(
                &format!("{what} '{name}'"),
                "defined twice; use different names, and different ids if set",
            ));
        }
    }
    Ok(())
}

pub(super) fn invalid(place: &str, what: impl Display) -> Error {
    Error::invalid(format!("Invalid scenario: {place}: {what}."))
}
