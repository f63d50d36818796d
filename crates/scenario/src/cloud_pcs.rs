//! The Cloud PCs of a scenario: single entries, and members of fleets.

use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_engine::GRACE_PERIOD;
use cloudpc_model::{
    CloudPc, CloudPcId, CloudPcStatus, DocumentKey, Error, GalleryImage, ManagedDeviceId, Power, Product,
    ProvisioningType, REGION_DEFAULT, ServicePlan, Timestamp, UserAccountType, UserExperienceType,
};
use cloudpc_store::{Entitlement, User};
use toml::value::Datetime;
use uuid::Uuid;

use super::directory::ResolvedDirectory;
use super::file;
use super::resolve::{Within, invalid, timestamp, user_principal_name};

/// Length limit of a display name, in characters, as in the contract.
const NAME_CHARS_MAX: usize = 64;

/// The entries of a tenant that its Cloud PCs refer to.
pub(super) struct Lookup<'a> {
    pub(super) within: Within<'a>,
    pub(super) domain: Option<String>,
    pub(super) now: Timestamp,
    pub(super) users: Vec<User>,
    pub(super) service_plans: Vec<ServicePlan>,
    pub(super) gallery_images: Vec<GalleryImage>,
}

impl Lookup<'_> {
    fn user(&self, name: &str, place: &str) -> Result<&User, Error> {
        let full = user_principal_name(name, self.domain.as_deref(), place)?;
        self.users.iter().find(|user| user.user_principal_name.eq_ignore_ascii_case(&full)).ok_or_else(|| {
            invalid(place, format!("its tenant has no user '{full}'; add the user under [[tenants.users]]"))
        })
    }

    pub(super) fn service_plan(&self, name: &str, place: &str) -> Result<&ServicePlan, Error> {
        let id = name.parse().ok();
        self.service_plans.iter().find(|plan| plan.display_name == name || Some(plan.id) == id).ok_or_else(|| {
            invalid(
                place,
                format!("its tenant has no service plan '{name}'; add the plan under [[tenants.service_plans]]"),
            )
        })
    }

    fn image(&self, id: Option<&str>, place: &str) -> Result<&GalleryImage, Error> {
        let found = match id {
            Some(id) => self.gallery_images.iter().find(|image| image.id.0 == id),
            None => self.gallery_images.first(),
        };
        found.ok_or_else(|| match id {
            Some(id) => invalid(
                place,
                format!("its tenant has no gallery image '{id}'; add the image under [[tenants.gallery_images]]"),
            ),
            None => invalid(place, "its tenant has no gallery image; add one under [[tenants.gallery_images]]"),
        })
    }

    /// Returns the Cloud PC of an entry, and its scripted condition.
    pub(super) fn cloud_pc(&self, entry: file::CloudPcEntry) -> Result<(CloudPc, ScriptedCondition), Error> {
        let place = format!("Cloud PC '{}'", entry.name);
        let chars = entry.name.chars().count();
        if !(1..=NAME_CHARS_MAX).contains(&chars) {
            return Err(invalid(&place, format!("its name has {chars} characters; expected 1 to {NAME_CHARS_MAX}")));
        }
        let user = entry.user.as_deref().map(|name| self.user(name, &place)).transpose()?;
        let plan = self.service_plan(&entry.service_plan, &place)?;
        let image = self.image(entry.image.as_deref(), &place)?;
        let derive = |what| self.within.derived(what, &entry.name);
        let time = |value: Option<Datetime>| value.map(|value| timestamp(value, &place)).transpose();
        let user_principal_name = user.map(|user| user.user_principal_name.clone()).unwrap_or_default();
        let product = entry.product.unwrap_or(plan.product);
        let provisioning_type = match user {
            Some(_) if product == Product::Frontline => ProvisioningType::SharedByUser,
            Some(_) => ProvisioningType::Dedicated,
            None if product == Product::Frontline => ProvisioningType::SharedByEntraGroup,
            None => {
                return Err(invalid(&place, "it has no user; only a Frontline Cloud PC that a group shares has none"));
            }
        };
        let provisioned = !matches!(entry.status, CloudPcStatus::NotProvisioned | CloudPcStatus::Failed);
        let in_grace = entry.status == CloudPcStatus::InGracePeriod;
        let cloud_pc = CloudPc {
            tenant_id: self.within.id,
            id: CloudPcId(entry.id.unwrap_or_else(|| derive("cloudPC"))),
            managed_device_id: ManagedDeviceId(entry.managed_device_id.unwrap_or_else(|| derive("managedDevice"))),
            aad_device_id: entry.aad_device_id.unwrap_or_else(|| derive("aadDevice")),
            managed_device_name: entry
                .managed_device_name
                .unwrap_or_else(|| device_name(&user_principal_name, derive("deviceName"))),
            display_name: entry.name.clone(),
            user_id: user.map(|user| user.id),
            user_principal_name,
            service_plan_id: plan.id,
            image_id: image.id.clone(),
            provisioning_policy_id: match entry.provisioning_policy.as_str() {
                "" => String::new(),
                name => self.within.derived("provisioningPolicy", name).to_string(),
            },
            provisioning_policy_name: entry.provisioning_policy,
            region: entry.region.unwrap_or_else(|| REGION_DEFAULT.to_owned()),
            single_sign_on: entry.single_sign_on,
            product,
            provisioning_type,
            user_experience_type: entry.user_experience_type.unwrap_or(UserExperienceType::CloudPc),
            session_started_at: None,
            on_premises_connection_id: String::new(),
            status: entry.status,
            status_before: None,
            status_detail: entry.status_detail,
            power_intended: Power::Running,
            power_observed: Power::Running,
            os_version: entry.os_version.unwrap_or(image.os_version),
            user_account_type: entry.user_account_type.unwrap_or(UserAccountType::StandardUser),
            provisioned_at: time(entry.provisioned_at)?.or_else(|| provisioned.then_some(self.now)),
            grace_ends_at: time(entry.grace_ends_at)?.or_else(|| in_grace.then(|| self.now + GRACE_PERIOD)),
            modified_at: self.now,
            created_at: time(entry.created_at)?.unwrap_or(self.now),
        };
        Ok((cloud_pc, entry.scripted_condition))
    }
}

impl Lookup<'_> {
    /// Returns what entitles the user of a Cloud PC to it.
    pub(super) fn entitlement(
        &self,
        entry: file::EntitlementEntry,
        cloud_pc: &CloudPc,
        directory: &ResolvedDirectory,
    ) -> Result<Entitlement, Error> {
        let place = format!("Cloud PC '{}'", cloud_pc.display_name);
        let (sku_id, assignment_id) = match (entry.license, entry.assignment) {
            (Some(license), None) => (Some(directory.sku(&license, &place)?), String::new()),
            (None, Some(assignment)) => (None, assignment),
            _ => return Err(invalid(&place, "its entitlement needs either license or assignment")),
        };
        let plan = entry.service_plan.map(|plan| self.service_plan(&plan, &place).map(|plan| plan.id)).transpose()?;
        Ok(Entitlement {
            tenant_id: self.within.id,
            cloud_pc_id: cloud_pc.id,
            user_id: cloud_pc.user_id,
            policy_id: DocumentKey::fold(&entry.policy),
            assignment_id,
            service_plan_id: plan.unwrap_or(cloud_pc.service_plan_id),
            sku_id,
        })
    }
}

/// Returns the Cloud PCs of a fleet.
pub(super) fn members<'a>(
    fleet: &'a file::FleetEntry,
    lookup: &'a Lookup<'a>,
) -> Result<impl Iterator<Item = file::CloudPcEntry> + use<'a>, Error> {
    let place = format!("fleet '{}'", fleet.name);
    if fleet.count > 1 && !fleet.name.contains("{number}") {
        return Err(invalid(&place, "its Cloud PCs would all have one name; put {number} into the name"));
    }
    if fleet.service_plans.is_empty() {
        return Err(invalid(&place, "service_plans is empty; list at least one service plan of the tenant"));
    }
    if fleet.users.is_empty() && lookup.users.is_empty() {
        return Err(invalid(&place, "its tenant has no user for the Cloud PCs; add one under [[tenants.users]]"));
    }
    let width = fleet.count.to_string().len();
    Ok((0..fleet.count).map(move |index| {
        let turn = index as usize;
        let user = match fleet.users.len() {
            0 => &lookup.users[turn % lookup.users.len()].user_principal_name,
            count => &fleet.users[turn % count],
        };
        file::CloudPcEntry {
            id: None,
            managed_device_id: None,
            managed_device_name: None,
            aad_device_id: None,
            name: fleet.name.replace("{number}", &format!("{:0width$}", index + 1)),
            user: Some(user.clone()),
            service_plan: fleet.service_plans[turn % fleet.service_plans.len()].clone(),
            product: None,
            user_experience_type: None,
            image: fleet.image.clone(),
            os_version: None,
            user_account_type: None,
            region: fleet.region.clone(),
            single_sign_on: false,
            provisioning_policy: fleet.provisioning_policy.clone(),
            status: fleet.status,
            created_at: None,
            provisioned_at: None,
            grace_ends_at: None,
            status_detail: None,
            entitlement: None,
            scripted_condition: fleet.scripted_condition.clone(),
        }
    }))
}

/// Returns a device name of at most 15 characters, the limit of Windows: `CPC-ada-4F7Q2`.
fn device_name(user_principal_name: &str, id: Uuid) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let alias: String = user_principal_name.chars().take_while(|c| c.is_ascii_alphanumeric()).take(5).collect();
    let end: String = id.as_bytes()[..5].iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    format!("CPC-{alias}-{end}")
}
