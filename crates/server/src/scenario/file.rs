//! The text of a scenario: what may be written in the TOML file, and nothing of what it means.
//!
//! Unknown names are refused, so that a misspelt one is an error and not silence.

use cloudpc_drivers::sim::{Artifact, Pace, ScriptedCondition};
use cloudpc_model::{CloudPcStatus, Kind, OsVersion, Product, StatusDetail, UserAccountType};
use serde::{Deserialize, Serialize};
use toml::value::Datetime;
use uuid::Uuid;

/// A whole scenario.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// How long simulated work takes; the real service's own pace if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// Installers that are not downloaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// Scripted trouble.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultEntry>,
    /// The tenants with all that is theirs.
    #[serde(default)]
    pub tenants: Vec<TenantEntry>,
}

/// A tenant. Ids that are left out below it are derived from its name and the entry's, so that the
/// same file always gives the same fleet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantEntry {
    /// Its id; if left out that of whoever loads it, or else derived from its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// What completes user names without an `@`.
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
    /// Cloud PCs one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cloud_pcs: Vec<CloudPcEntry>,
    /// Cloud PCs by the dozen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fleets: Vec<Fleet>,
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
    /// For signing in with a device code. Without one the user cannot sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The same as a saved scenario has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// Whether loading makes a password up. The first start writes it to `passwords.json` in the
    /// data directory.
    #[serde(default, skip_serializing_if = "is_no")]
    pub generate_password: bool,
    /// Directory roles, e.g. `Windows 365 Administrator`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Permissions that an application may have on their behalf.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
}

/// An application with credentials known beforehand, for CI.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppEntry {
    /// Its client id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    pub name: String,
    /// Its client secret; a public client, such as a command line that signs people in, has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(default)]
    pub permissions: Vec<String>,
}

/// A size.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServicePlanEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    pub name: String,
    pub vcpu_count: u32,
    pub ram_gib: u32,
    pub storage_gib: u32,
    /// Edition that it is for, and so of the Cloud PCs that have it.
    pub product: Product,
    #[serde(default, skip_serializing_if = "is_no")]
    pub gpu: bool,
}

/// What Cloud PCs are made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GalleryImageEntry {
    /// `<publisher>_<offer>_<sku>`
    pub id: String,
    pub name: String,
    pub size_gib: u32,
    pub os_version: OsVersion,
    /// Its version number, such as `10.0.22631.3880`.
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
    /// Its display name.
    pub name: String,
    /// Whose it is.
    pub user: String,
    /// Name or id of its size.
    pub service_plan: String,
    /// Its edition; that of the size if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Product>,
    /// Id of its image; the tenant's first if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What its disk has, if that is not what the image has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<OsVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_account_type: Option<UserAccountType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the policy that made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provisioning_policy: String,
    #[serde(default = "provisioned", skip_serializing_if = "is_provisioned")]
    pub status: CloudPcStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Datetime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioned_at: Option<Datetime>,
    /// End of the grace period; a week from loading if left out of one that is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ends_at: Option<Datetime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_detail: Option<StatusDetail>,
    #[serde(default, rename = "condition", alias = "ailment", skip_serializing_if = "is_healthy")]
    pub scripted_condition: ScriptedCondition,
}

/// Many Cloud PCs that are alike.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fleet {
    /// How many.
    pub count: u32,
    /// Their display name, where `{number}` stands for 01, 02, and so on.
    pub name: String,
    /// Names or ids of their sizes, dealt in turn: name one twice to have twice as many.
    pub service_plans: Vec<String>,
    /// Whose they are, dealt in turn; all users of the tenant if left out.
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
    /// URL prefixes that its agent may be fetched from; any public https address if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_urls: Vec<String>,
    /// Its last heartbeat.
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
    #[serde(default, skip_serializing_if = "is_no")]
    pub auto_deploy: bool,
    /// Succeeds in a guest where the agent is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detection: Option<String>,
}

/// A rule of scripted trouble; see `cloudpc_engine::FaultRule`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultEntry {
    /// Only actions of the tenant with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<Uuid>,
    /// Only these Cloud PCs, by display name or id.
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
    #[serde(default, skip_serializing_if = "is_no")]
    pub undo: bool,
    pub effect: EffectEntry,
    /// For `fail`: the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// For `fail`: what it says to people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// For `slowDown`: milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_ms: Option<u64>,
}

/// What a rule does to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum EffectEntry {
    Fail,
    Hang,
    SlowDown,
    LoseOutcome,
    Crash,
}

fn yes() -> bool {
    true
}

fn provisioned() -> CloudPcStatus {
    CloudPcStatus::Provisioned
}

// What `skip_serializing_if` needs takes a reference.
fn is_yes(value: &bool) -> bool {
    *value
}

fn is_no(value: &bool) -> bool {
    !*value
}

fn is_provisioned(status: &CloudPcStatus) -> bool {
    *status == CloudPcStatus::Provisioned
}

fn is_healthy(scripted_condition: &ScriptedCondition) -> bool {
    *scripted_condition == ScriptedCondition::default()
}
