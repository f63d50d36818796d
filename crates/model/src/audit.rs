//! The audit log: who did what to which resource, with which result.
//!
//! Callers name a verb, a resource and a result; every text of the log is made here. This module
//! refuses to know how rows are stored and sent.

use serde::{Deserialize, Serialize};
use std::str::FromStr;
use strum::{EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};
use uuid::Uuid;

use crate::{Actor, DocumentType, Kind, TenantId, Timestamp};

/// Longest name or value of a row, in characters; what is longer is cut and ends in `…`.
pub const AUDIT_TEXT_CHARS_MAX: usize = 256;
/// Most changed properties of a row; later ones are dropped.
pub const AUDIT_CHANGES_MAX: usize = 32;

/// The new value shown for a secret that was changed.
const SECRET_CHANGED: &str = "changed";

/// What a repeat of a request is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// Tenant of the caller.
    pub tenant_id: TenantId,
    /// The caller: a user, or an application.
    pub caller: Uuid,
    /// SHA-256 of the caller and all that makes two requests alike.
    pub hash: [u8; 32],
}

/// One row of the audit log. Made by [`AuditEntry::new`] and the methods after it; rows are never
/// updated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// Number within the tenant, made by the store; zero before it is stored.
    pub id: i64,
    /// Tenant whose log this row belongs to; [`TenantId::INSTALLATION`] for the log of the
    /// installation.
    pub tenant_id: TenantId,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it, and from which address.
    pub actor: Actor,
    /// What was done.
    pub verb: AuditVerb,
    /// What it was done to.
    pub resource: AuditResource,
    /// How it ended.
    pub result: AuditResult,
    /// What changed, and details such as an error code.
    pub changes: Vec<AuditChange>,
    /// Id of the request that did it, so that its log line can be found; empty for cloudpc's own
    /// work.
    pub request_id: String,
    /// What a repeat of the request is recognised by, if it can be. It is not part of the log: the
    /// store remembers it with the row.
    pub request_key: Option<RequestKey>,
    /// Text of a row from before rows were typed; none for every new row.
    pub old_activity: Option<String>,
}

impl AuditEntry {
    /// A row that tells of a success, of no request and without changes.
    pub fn new(
        tenant_id: TenantId,
        at: Timestamp,
        actor: Actor,
        verb: impl Into<AuditVerb>,
        resource: AuditResource,
    ) -> Self {
        Self {
            id: 0,
            tenant_id,
            at,
            actor,
            verb: verb.into(),
            resource,
            result: AuditResult::Success,
            changes: Vec::new(),
            request_id: String::new(),
            request_key: None,
            old_activity: None,
        }
    }

    /// The same, done by a request.
    #[must_use]
    pub fn by_request(mut self, request_id: &str) -> Self {
        self.request_id = capped(request_id);
        self
    }

    /// The same, done by a request whose repeat is recognised by `key`.
    #[must_use]
    pub fn repeatable(mut self, key: Option<RequestKey>) -> Self {
        self.request_key = key;
        self
    }

    /// The same with another result. `error_code` is shown as the property `errorCode`.
    #[must_use]
    pub fn ended(mut self, result: AuditResult, error_code: Option<&str>) -> Self {
        self.result = result;
        match error_code {
            Some(code) => self.detail("errorCode", code),
            None => self,
        }
    }

    /// The same with a property that now has the value `new`. A property that has not changed is
    /// left out.
    #[must_use]
    pub fn changed(mut self, name: &str, old: Option<&str>, new: &str) -> Self {
        if old != Some(new) && self.changes.len() < AUDIT_CHANGES_MAX {
            self.changes.push(AuditChange { name: capped(name), old: old.map(capped), new: capped(new) });
        }
        self
    }

    /// The same with the properties that differ between two entities; an empty value is none. The
    /// old entity is none for a creation, the new one for a deletion.
    #[must_use]
    pub fn compared<const N: usize>(
        mut self,
        names: [&str; N],
        old: Option<[String; N]>,
        new: Option<[String; N]>,
    ) -> Self {
        for place in 0..N {
            let at =
                |values: &Option<[String; N]>| values.as_ref().map(|values| values[place].clone()).unwrap_or_default();
            let (before, after) = (at(&old), at(&new));
            if !before.is_empty() || !after.is_empty() {
                self = self.changed(names[place], Some(&*before).filter(|text| !text.is_empty()), &after);
            }
        }
        self
    }

    /// The same with a detail that had no value before.
    #[must_use]
    pub fn detail(self, name: &str, value: &str) -> Self {
        self.changed(name, None, value)
    }

    /// The same with a property whose values are secret: only that it was changed is told.
    #[must_use]
    pub fn secret_changed(self, name: &str) -> Self {
        self.changed(name, None, SECRET_CHANGED)
    }

    /// What was done to what kind of resource, e.g. `Reprovision CloudPC`. An old row keeps its
    /// text.
    pub fn activity(&self) -> String {
        match &self.old_activity {
            Some(text) => text.clone(),
            None => format!("{} {}", self.verb.display_name(), self.resource.kind.name()),
        }
    }
}

/// What was done. Stored by its name in camel case; a new verb needs no migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
#[expect(missing_docs, reason = "each is named after the Graph action or the administration call it stands for")]
pub enum AuditVerb {
    Create,
    Update,
    Delete,
    Reprovision,
    Resize,
    Restore,
    Undo,
    Rename,
    Reboot,
    PowerOn,
    PowerOff,
    CreateSnapshot,
    Troubleshoot,
    ChangeUserAccountType,
    SetDeviceName,
    /// The restore point with which a review begins.
    PlaceUnderReview,
    /// An automatic one.
    TakeRestorePoint,
    DropRestorePoint,
    SetReviewStatus,
    DeployAgent,
    Provision,
    /// A shared Cloud PC, for its next user.
    Prepare,
    Deprovision,
    /// To existing Cloud PCs; the rows of these have the same verb.
    ApplyPolicy,
    /// To existing Cloud PCs, regularly.
    ScheduleApplyPolicy,
    /// Of a device image, from its source.
    ImportImage,
    /// Of a device image, from the host.
    RemoveImage,
    RunHealthChecks,
    /// Of a policy or setting to groups; the assignments before are replaced.
    Assign,
    CancelAction,
    SettleAction,
    /// Of items of a bulk action that failed.
    Retry,
    /// A machine has failed by itself (result `failure`) or is well again.
    CheckHealth,
    /// Observe the machine of a managed device now.
    SyncDevice,
    ConfigureAgent,
    SetDetection,
    AllowUrls,
    /// Of a user or an application; a refused one has another result than success.
    SignIn,
    /// The screen of a machine; the detail `mode` is `viewOnly` or `control`.
    OpenDesktop,
    Enable,
    Disable,
    /// Other permissions than before.
    Grant,
    /// Tokens, sessions or keys that are worth nothing from now on.
    Revoke,
    /// A new signing key; the old one is still accepted until its tokens have expired.
    Rotate,
    /// New signing keys; tokens of the old ones are refused.
    Replace,
    Pause,
    Resume,
    /// Of cloud applications, so that users may open them.
    Publish,
    Unpublish,
    Advance,
    AdvanceToIdle,
    Load,
    Save,
    Reset,
    Clear,
    /// A crash, panic or guest shutdown of a simulated machine.
    Inject,
    /// Of a row whose text was written before rows were typed, and says nothing that is known.
    Unknown,
}

impl AuditVerb {
    /// The name in Pascal case, e.g. `PowerOn`, as the first word of an activity.
    pub fn display_name(self) -> String {
        let name: &str = self.into();
        name[..1].to_ascii_uppercase() + &name[1..]
    }

    /// What kind of change it is, as Graph tells them apart.
    pub fn operation_type(self) -> OperationType {
        match self {
            Self::Create | Self::CreateSnapshot | Self::TakeRestorePoint | Self::Provision => OperationType::Create,
            Self::Delete | Self::Clear | Self::Deprovision | Self::DropRestorePoint => OperationType::Delete,
            // They change nothing, and Graph's enum has nothing for them.
            Self::SignIn | Self::OpenDesktop | Self::CheckHealth | Self::Save | Self::Unknown => {
                OperationType::UnknownFutureValue
            }
            Self::Update
            | Self::Reprovision
            | Self::Resize
            | Self::Restore
            | Self::Undo
            | Self::Rename
            | Self::Reboot
            | Self::PowerOn
            | Self::PowerOff
            | Self::Troubleshoot
            | Self::ChangeUserAccountType
            | Self::SetDeviceName
            | Self::PlaceUnderReview
            | Self::Prepare
            | Self::SetReviewStatus
            | Self::DeployAgent
            | Self::ApplyPolicy
            | Self::ScheduleApplyPolicy
            | Self::ImportImage
            | Self::RemoveImage
            | Self::RunHealthChecks
            | Self::Assign
            | Self::CancelAction
            | Self::SettleAction
            | Self::Retry
            | Self::SyncDevice
            | Self::ConfigureAgent
            | Self::SetDetection
            | Self::AllowUrls
            | Self::Enable
            | Self::Disable
            | Self::Grant
            | Self::Revoke
            | Self::Rotate
            | Self::Replace
            | Self::Pause
            | Self::Resume
            | Self::Publish
            | Self::Unpublish
            | Self::Advance
            | Self::AdvanceToIdle
            | Self::Load
            | Self::Reset
            | Self::Inject => OperationType::Patch,
        }
    }
}

impl From<Kind> for AuditVerb {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Reprovision => Self::Reprovision,
            Kind::Resize => Self::Resize,
            Kind::Restore => Self::Restore,
            Kind::Undo => Self::Undo,
            Kind::Rename => Self::Rename,
            Kind::Reboot => Self::Reboot,
            Kind::PowerOn => Self::PowerOn,
            Kind::PowerOff => Self::PowerOff,
            Kind::CreateSnapshot => Self::CreateSnapshot,
            Kind::Troubleshoot => Self::Troubleshoot,
            Kind::ChangeUserAccountType => Self::ChangeUserAccountType,
            Kind::SetDeviceName => Self::SetDeviceName,
            Kind::PlaceUnderReview => Self::PlaceUnderReview,
            Kind::TakeRestorePoint => Self::TakeRestorePoint,
            Kind::DropRestorePoint => Self::DropRestorePoint,
            Kind::DeployAgent => Self::DeployAgent,
            Kind::Provision => Self::Provision,
            Kind::Prepare => Self::Prepare,
            Kind::Deprovision => Self::Deprovision,
            Kind::ApplyPolicy => Self::ApplyPolicy,
            Kind::ImportImage => Self::ImportImage,
            Kind::RemoveImage => Self::RemoveImage,
            Kind::CheckConnection => Self::RunHealthChecks,
        }
    }
}

/// `cloudPcAuditActivityOperationType`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OperationType {
    /// Something new.
    Create,
    /// Something gone.
    Delete,
    /// Something changed.
    Patch,
    /// None of the three.
    UnknownFutureValue,
}

/// `cloudPcAuditActivityResult`
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, EnumString, IntoStaticStr, Serialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum AuditResult {
    /// It was done, or accepted if it is an action.
    Success,
    /// It was not done, because of what the caller asked for, or because a caller canceled it.
    ClientError,
    /// It was not done, because it failed.
    Failure,
    /// It was not done, because it took too long.
    Timeout,
}

/// What something was done to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditResource {
    /// Its kind.
    pub kind: ResourceType,
    /// Its id; empty for what an installation has one of.
    pub id: String,
    /// Its name; empty if it has none or it was not looked up.
    pub display_name: String,
}

impl AuditResource {
    /// A resource whose name is not told.
    pub fn new(kind: ResourceType, id: impl ToString) -> Self {
        Self { kind, id: capped(&id.to_string()), display_name: String::new() }
    }

    /// The same with a name.
    #[must_use]
    pub fn named(mut self, display_name: &str) -> Self {
        self.display_name = capped(display_name);
        self
    }
}

/// The kind of a resource, stored and sent by the name that follows the verb of an activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, IntoStaticStr)]
#[expect(missing_docs, reason = "each is named after the thing itself")]
pub enum ResourceType {
    #[strum(disabled)]
    Document(DocumentType),
    #[strum(serialize = "CloudPC")]
    CloudPc,
    #[strum(serialize = "CloudPcBulkAction")]
    BulkAction,
    #[strum(serialize = "CloudPcExternalPartner")]
    ExternalPartner,
    Tenant,
    Application,
    User,
    Group,
    AccessToken,
    SigningKey,
    Clock,
    Fault,
    Fleet,
    Scenario,
}

impl ResourceType {
    /// The name, as stored and sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Document(kind) => kind.resource_name(),
            other => other.into(),
        }
    }
}

impl FromStr for ResourceType {
    type Err = strum::ParseError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let documents = DocumentType::ALL.iter().map(|kind| Self::Document(*kind));
        Self::iter().chain(documents).find(|kind| kind.name() == name).ok_or(strum::ParseError::VariantNotFound)
    }
}

/// A property and its values, `cloudPcAuditProperty`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditChange {
    /// Name of the property.
    pub name: String,
    /// Value before; none if there was none or it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// Value since.
    pub new: String,
}

fn capped(text: &str) -> String {
    match text.char_indices().nth(AUDIT_TEXT_CHARS_MAX) {
        None => text.to_owned(),
        Some(_) => text.chars().take(AUDIT_TEXT_CHARS_MAX - 1).chain(['…']).collect(),
    }
}
