//! The file format of a scenario, without its meaning.
//!
//! Unknown keys are rejected, so that a misspelt key is an error.

use cloudpc_drivers::sim::{Artifact, Pace, ScriptedCondition};
use cloudpc_model::{CloudPcStatus, Kind, OsVersion, Product, StatusDetail, UserAccountType, UserExperienceType};
use serde::{Deserialize, Serialize};
use toml::value::Datetime;
use uuid::Uuid;

/// A whole scenario.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// The duration of simulated work; the real service's pace by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// Simulated installers, which are not downloaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// Scripted faults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultEntry>,
    /// The tenants and their content.
    #[serde(default)]
    pub tenants: Vec<TenantEntry>,
}

/// A tenant. Missing ids of its entries are derived from the names of the tenant and the entry, so
/// that the same file always gives the same fleet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantEntry {
    /// Id of the tenant; by default the id of the caller's tenant for the first tenant, or else
    /// derived from the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    pub name: String,
    /// Domain that completes user names without an `@`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<AppEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_plans: Vec<ServicePlanEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gallery_images: Vec<GalleryImageEntry>,
    /// Licences that the tenant has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<SubscriptionEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provisioning_policies: Vec<DocumentEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user_settings: Vec<DocumentEntry>,
    /// Single Cloud PCs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cloud_pcs: Vec<CloudPcEntry>,
    /// Groups of similar Cloud PCs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fleets: Vec<FleetEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partners: Vec<PartnerEntry>,
}

/// A local user.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// `ada@contoso.test`, or `ada` in a tenant with a domain.
    pub name: String,
    #[serde(default)]
    pub display_name: String,
    /// Password for signing in with a device code. A user without a password cannot sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Hash of the password in PHC format, as in a saved scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// Whether loading generates a password. The first start writes it to `passwords.json` in the
    /// data directory.
    #[serde(default, skip_serializing_if = "is_false")]
    pub generate_password: bool,
    /// Directory roles, e.g. `Windows 365 Administrator`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Permissions that an application can have on behalf of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    /// Local part of the mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_nickname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Two letters of ISO 3166.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Datetime>,
    /// Names of subscriptions of which the user has a licence of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
}

/// A number of licences of a service plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionEntry {
    /// SKU id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// SKU part number, e.g. `CPC_B_2C_8RAM_128GB`.
    pub name: String,
    /// Name or id of a service plan.
    pub service_plan: String,
    /// Number of licences.
    pub units: u32,
}

/// A group of users.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// By default the letters and digits of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_nickname: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub mail_enabled: bool,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub security_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Datetime>,
    /// User names. If the licences do not suffice, the first members get them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// Names of subscriptions of which each member gets a licence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
}

/// An application with predefined credentials, for CI.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppEntry {
    /// Client id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    pub name: String,
    /// Client secret; none for a public client, such as a command line that signs users in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(default)]
    pub permissions: Vec<String>,
}

/// A service plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServicePlanEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    pub name: String,
    pub vcpu_count: u32,
    pub ram_gib: u32,
    pub storage_gib: u32,
    /// Edition of the plan and of the Cloud PCs that use it.
    pub product: Product,
    #[serde(default, skip_serializing_if = "is_false")]
    pub gpu: bool,
}

/// A gallery image.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GalleryImageEntry {
    /// `<publisher>_<offer>_<sku>`
    pub id: String,
    pub name: String,
    pub size_gib: u32,
    pub os_version: OsVersion,
    /// Version number of the operating system, such as `10.0.22631.3880`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version_number: Option<String>,
}

/// One Cloud PC.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CloudPcEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_device_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_device_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aad_device_id: Option<Uuid>,
    /// Display name.
    pub name: String,
    /// Name of the user; none for a Frontline Cloud PC that a group shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Name or id of the service plan.
    pub service_plan: String,
    /// Edition; by default that of the service plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Product>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_experience_type: Option<UserExperienceType>,
    /// Id of the gallery image; by default the tenant's first image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Operating system on the disk; by default that of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<OsVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_account_type: Option<UserAccountType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub single_sign_on: bool,
    /// Name of the provisioning policy. A policy name that the scenario does not define is only
    /// displayed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provisioning_policy: String,
    #[serde(default = "provisioned", skip_serializing_if = "is_provisioned")]
    pub status: CloudPcStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Datetime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioned_at: Option<Datetime>,
    /// End of the grace period; by default a week after loading for a Cloud PC in its grace period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ends_at: Option<Datetime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_detail: Option<StatusDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entitlement: Option<EntitlementEntry>,
    /// Condition of the simulated machine.
    #[serde(default, rename = "condition", alias = "ailment", skip_serializing_if = "is_healthy")]
    pub scripted_condition: ScriptedCondition,
}

/// What entitles a user to a Cloud PC that a policy made: a licence, or a seat of an assignment. By
/// default a free one of the policy that the Cloud PC names, if the scenario has that policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntitlementEntry {
    /// Id of the policy.
    pub policy: String,
    /// Name of the subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Id of the policy's assignment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<String>,
    /// Name or id of the service plan of the licence or seat; by default that of the Cloud PC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_plan: Option<String>,
}

/// A provisioning policy or a user setting, with its assignments.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DocumentEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `displayName`
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Datetime>,
    /// The other properties, as a client of the beta version sends them.
    #[serde(default)]
    pub properties: toml::Table,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignments: Vec<AssignmentEntry>,
}

/// The assignment of a policy or user setting to a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignmentEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name or id of a group.
    pub group: String,
    /// Name or id of the service plan of a frontline policy's seats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Datetime>,
    /// The other properties of the target, e.g. `allotmentLicensesCount`.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub target: toml::Table,
}

/// A group of similar Cloud PCs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FleetEntry {
    /// Number of Cloud PCs.
    pub count: u32,
    /// Display name, in which `{number}` is replaced by 01, 02, and so on.
    pub name: String,
    /// Names or ids of service plans, assigned in turn: list a plan twice to use it twice as often.
    pub service_plans: Vec<String>,
    /// Names of users, assigned in turn; by default all users of the tenant.
    #[serde(default)]
    pub users: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default)]
    pub provisioning_policy: String,
    #[serde(default = "provisioned")]
    pub status: CloudPcStatus,
    /// Condition of the simulated machines.
    #[serde(default, rename = "condition", alias = "ailment")]
    pub scripted_condition: ScriptedCondition,
}

/// An external partner.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartnerEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// The partner's own id.
    pub partner_id: String,
    pub enable_connection: bool,
    /// URL prefixes that the agent can be downloaded from; by default any public https URL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_urls: Vec<String>,
    /// Time of the last heartbeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sync_at: Option<Datetime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentEntry>,
}

/// The agent of a partner.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentEntry {
    pub url: String,
    /// 64 hex digits.
    pub sha256: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub install_parameters: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub auto_deploy: bool,
    /// Command that succeeds in a guest with the agent installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detection: Option<String>,
}

/// A scripted fault; see `cloudpc_engine::FaultRule`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultEntry {
    /// Limits the fault to the tenant with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<Uuid>,
    /// Limits the fault to these Cloud PCs, by display name or id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cloud_pcs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_percent: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<u32>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub undo: bool,
    pub effect: EffectEntry,
    /// For `fail`: the error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// For `fail`: the error message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// For `slowDown`: the delay in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_ms: Option<u64>,
}

/// The effect of a fault on a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum EffectEntry {
    Fail,
    Hang,
    SlowDown,
    LoseOutcome,
    Crash,
}

fn default_true() -> bool {
    true
}

fn provisioned() -> CloudPcStatus {
    CloudPcStatus::Provisioned
}

// `skip_serializing_if` passes a reference.
fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_provisioned(status: &CloudPcStatus) -> bool {
    *status == CloudPcStatus::Provisioned
}

fn is_healthy(scripted_condition: &ScriptedCondition) -> bool {
    *scripted_condition == ScriptedCondition::default()
}
