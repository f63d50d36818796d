//! An action: durable work on one Cloud PC or document, recorded as an append-only log of events.
//!
//! ```text
//!            Claimed               every step done
//! Pending ────────────▶ Running ─────────────────────▶ Done
//!    │                   │   │  nothing to undo
//!    │ canceled, or      │   └───────────────────────▶ Failed · Canceled · NotSupported
//!    │ never taken       │ UndoBegan                       ▲
//!    ▼                   ▼           every step undone     │
//! Canceled · Failed    Undoing ────────────────────────────┘
//!                        │ UndoFailed                      ▲
//!                        ▼            Settled              │
//!                      Stuck ──────────────────────────────┘ (Failed)
//! ```
//!
//! [`Action::apply`] is the only place where an action changes. This module refuses to know what
//! the steps do, when they are due and how an action is stored.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use strum::{EnumIter, EnumString, IntoStaticStr};

use crate::{
    ActionId, ActivityId, AgentSetting, AppId, BulkActionId, CloudPcId, DocumentKey, DocumentType, ImageId, OsVersion,
    PartnerId, ServicePlanId, SnapshotId, TenantId, Timestamp, UserAccountType, UserId,
};

/// The state of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Accepted and durable; waiting for its machine or for a worker.
    Pending,
    /// Its steps are being run.
    Running,
    /// Its steps are being undone.
    Undoing,
    /// Succeeded.
    Done,
    /// Failed; its completed steps are undone.
    Failed,
    /// Canceled on request before its point of no return, or because its target was missing or
    /// unusable.
    Canceled,
    /// The driver does not support the action; nothing was attempted.
    NotSupported,
    /// An undo failed. Blocks the machine until a person settles the action.
    Stuck,
}

impl State {
    /// Whether the state is final.
    pub fn is_final(self) -> bool {
        match self {
            Self::Done | Self::Failed | Self::Canceled | Self::NotSupported => true,
            Self::Pending | Self::Running | Self::Undoing | Self::Stuck => false,
        }
    }
}

/// The kind of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "each is named after the Graph action that it executes; undo and those without one are ours"
)]
pub enum Kind {
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
    /// Sets the hostname of the guest.
    SetDeviceName,
    PlaceUnderReview,
    DeployAgent,
    Provision,
    /// Makes a shared Cloud PC ready for its next user.
    Prepare,
    Deprovision,
    ApplyPolicy,
    /// Takes an automatic restore point.
    TakeRestorePoint,
    /// Drops the disk of a deleted restore point.
    DropRestorePoint,
    /// Makes a device image from its source.
    ImportImage,
    /// Removes the image of a deleted or failed device image from the host.
    RemoveImage,
    /// Runs the health checks of an on-premises connection.
    CheckConnection,
}

impl Kind {
    /// Whether Graph counts it as a remote action: what a caller requests on an existing Cloud PC,
    /// deployments excepted. A machine has at most one open remote action.
    pub fn is_remote_action(self) -> bool {
        let others = matches!(
            self,
            Self::DeployAgent
                | Self::Provision
                | Self::Prepare
                | Self::Deprovision
                | Self::ApplyPolicy
                | Self::TakeRestorePoint
                | Self::DropRestorePoint
        );
        !others && self.document_type().is_none()
    }

    /// Whether it signs off who is connected to the Cloud PC, if it succeeds.
    pub fn ends_sessions(self) -> bool {
        matches!(
            self,
            Self::Reprovision
                | Self::Resize
                | Self::Restore
                | Self::Undo
                | Self::Reboot
                | Self::PowerOff
                | Self::PowerOn
                | Self::Deprovision
        )
    }

    /// Returns the type of document that it works on; none for a Cloud PC.
    pub fn document_type(self) -> Option<DocumentType> {
        match self {
            Self::ImportImage | Self::RemoveImage => Some(DocumentType::CloudPcDeviceImage),
            Self::CheckConnection => Some(DocumentType::CloudPcOnPremisesConnection),
            Self::Reprovision
            | Self::Resize
            | Self::Restore
            | Self::Undo
            | Self::Rename
            | Self::Reboot
            | Self::PowerOn
            | Self::PowerOff
            | Self::CreateSnapshot
            | Self::Troubleshoot
            | Self::ChangeUserAccountType
            | Self::SetDeviceName
            | Self::PlaceUnderReview
            | Self::DeployAgent
            | Self::Provision
            | Self::Prepare
            | Self::Deprovision
            | Self::ApplyPolicy
            | Self::TakeRestorePoint
            | Self::DropRestorePoint => None,
        }
    }

    /// Whether it leaves an undo record. An undo can itself be undone.
    pub fn can_be_undone(self) -> bool {
        matches!(self, Self::Reprovision | Self::Resize | Self::Restore | Self::Undo)
    }

    /// Returns the name, as stored and shown.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The parameters of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[expect(
    missing_docs,
    reason = "the fields are the parameters of the Graph action of the same name, or the action to undo"
)]
pub enum Params {
    Reprovision {
        os_version: Option<OsVersion>,
        user_account_type: Option<UserAccountType>,
        /// Image chosen when the action was accepted, since the gallery may change before it runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image_id: Option<ImageId>,
    },
    Resize {
        target_service_plan_id: ServicePlanId,
    },
    Restore {
        snapshot_id: SnapshotId,
    },
    Undo {
        action_id: ActionId,
    },
    Rename {
        display_name: String,
    },
    Reboot,
    PowerOn,
    PowerOff,
    CreateSnapshot {
        snapshot_id: SnapshotId,
    },
    Troubleshoot,
    ChangeUserAccountType {
        user_account_type: UserAccountType,
    },
    SetDeviceName {
        device_name: String,
    },
    PlaceUnderReview {
        snapshot_id: SnapshotId,
    },
    TakeRestorePoint {
        snapshot_id: SnapshotId,
    },
    DropRestorePoint {
        snapshot_id: SnapshotId,
    },
    DeployAgent {
        partner_id: PartnerId,
        activity_id: ActivityId,
        agent: AgentSetting,
    },
    Provision,
    Prepare {
        /// Whether the disk is replaced with a new one from the image.
        reset: bool,
    },
    Deprovision,
    /// Values of the policy when the action was accepted; none: the Cloud PC keeps its own.
    ApplyPolicy {
        policy_id: String,
        region: Option<String>,
        single_sign_on: Option<bool>,
    },
    ImportImage {
        /// Where the image comes from: `sourceImageResourceId`.
        source: String,
    },
    RemoveImage,
    CheckConnection,
}

impl Params {
    /// Returns the kind of action that these parameters belong to.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Reprovision { .. } => Kind::Reprovision,
            Self::Resize { .. } => Kind::Resize,
            Self::Restore { .. } => Kind::Restore,
            Self::Undo { .. } => Kind::Undo,
            Self::Rename { .. } => Kind::Rename,
            Self::Reboot => Kind::Reboot,
            Self::PowerOn => Kind::PowerOn,
            Self::PowerOff => Kind::PowerOff,
            Self::CreateSnapshot { .. } => Kind::CreateSnapshot,
            Self::Troubleshoot => Kind::Troubleshoot,
            Self::ChangeUserAccountType { .. } => Kind::ChangeUserAccountType,
            Self::SetDeviceName { .. } => Kind::SetDeviceName,
            Self::PlaceUnderReview { .. } => Kind::PlaceUnderReview,
            Self::TakeRestorePoint { .. } => Kind::TakeRestorePoint,
            Self::DropRestorePoint { .. } => Kind::DropRestorePoint,
            Self::DeployAgent { .. } => Kind::DeployAgent,
            Self::Provision => Kind::Provision,
            Self::Prepare { .. } => Kind::Prepare,
            Self::Deprovision => Kind::Deprovision,
            Self::ApplyPolicy { .. } => Kind::ApplyPolicy,
            Self::ImportImage { .. } => Kind::ImportImage,
            Self::RemoveImage => Kind::RemoveImage,
            Self::CheckConnection => Kind::CheckConnection,
        }
    }

    /// Removes what may be secret and is needed only while the action is open: a deployment's
    /// install parameters and detection command. Returns whether there was any.
    pub fn remove_secrets(&mut self) -> bool {
        let Self::DeployAgent { agent, .. } = self else { return false };
        let had_any = !agent.install_parameters.is_empty() || agent.detection.is_some();
        agent.install_parameters.clear();
        agent.detection = None;
        had_any
    }
}

/// Who requested something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// Kind of the actor.
    pub kind: ActorKind,
    /// Calling application.
    pub app_id: Option<AppId>,
    /// Name of the application.
    pub app_name: String,
    /// Calling user of a delegated token.
    pub user_id: Option<UserId>,
    /// User principal name, e.g. `ada@contoso.test`.
    pub user_principal_name: String,
    /// The address that the request came from, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<IpAddr>,
}

impl Actor {
    /// Returns cloudpc itself, e.g. for an automatic deployment.
    pub fn system() -> Self {
        Self {
            kind: ActorKind::System,
            app_id: None,
            app_name: "cloudpc".into(),
            user_id: None,
            user_principal_name: String::new(),
            ip_address: None,
        }
    }
}

/// The kind of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActorKind {
    /// An application with its own token.
    Application,
    /// A person, through an application.
    User,
    /// cloudpc itself.
    System,
}

/// The reason why an action failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable code for programs; for deployments, a member of
    /// `cloudPcExternalPartnerActionErrorCode`.
    pub code: String,
    /// What happened and what to do, for people.
    pub message: String,
}

/// An action, as the fold of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Number.
    pub id: ActionId,
    /// The random part of the tag that marks the action's work on machines. Numbers come again
    /// after an older database is restored; tags must not. None for actions accepted before tags
    /// had one.
    pub tag_nonce: Option<u64>,
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id of the Cloud PC as the caller gave it, which may not exist for a deployment; or id of the
    /// document.
    pub target: String,
    /// Parameters.
    pub params: Params,
    /// Who requested the action.
    pub requested_by: Actor,
    /// The bulk action that it is an item of.
    pub bulk_action_id: Option<BulkActionId>,
    /// Time of the request.
    pub requested_at: Timestamp,
    /// Deadline; past it, the action fails and is undone.
    pub deadline_at: Timestamp,
    /// Current state.
    pub state: State,
    /// Number of claims. Writes of an older claim are rejected.
    pub epoch: i64,
    /// Time of the first claim.
    pub started_at: Option<Timestamp>,
    /// Time of the latest event.
    pub updated_at: Timestamp,
    /// Time of the cancel request.
    pub cancel_requested_at: Option<Timestamp>,
    /// While undoing: the state in which it will end. At the end: final state and reason.
    pub outcome: Option<(State, Option<Failure>)>,
    /// Steps started so far, in order.
    pub steps: Vec<StepRecord>,
    /// Number of events applied.
    pub events: u32,
}

/// The record of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    /// Name.
    pub name: String,
    /// Current state.
    pub state: StepState,
    /// Number of attempts.
    pub attempts: u32,
    /// Start of the first attempt.
    pub started_at: Timestamp,
    /// End of the last attempt.
    pub ended_at: Option<Timestamp>,
    /// Earliest time of the next attempt.
    pub due_at: Option<Timestamp>,
    /// Last message, of success or failure.
    pub message: Option<String>,
}

/// The state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepState {
    /// Started. After a crash, the effect is unknown, so every step checks before it acts.
    Running,
    /// Waiting for a retry.
    Waiting,
    /// Took effect.
    Succeeded,
    /// Failed permanently.
    Failed,
    /// Being undone.
    Undoing,
    /// Waiting for a retry of its undo.
    UndoWaiting,
    /// Undone.
    Undone,
    /// Its undo failed.
    UndoFailed,
}

/// An event in the log of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Time.
    pub at: Timestamp,
    /// Claim that wrote it; 0 before the first claim.
    pub epoch: i64,
    /// Kind and details.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The kind of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[strum(serialize_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are plain; what each event does is in Action::apply")]
pub enum EventKind {
    /// Committed together with the action itself.
    Accepted,
    /// A worker claimed the action; `epoch` is the new one.
    Claimed,
    /// Logged before the step acts.
    StepStarted {
        step: String,
    },
    StepSucceeded {
        step: String,
        message: Option<String>,
    },
    /// Transient error or unknown outcome: the step is retried at `due_at`.
    StepRetried {
        step: String,
        message: String,
        due_at: Timestamp,
    },
    /// Permanent failure; the action will end in `outcome`.
    StepFailed {
        step: String,
        outcome: State,
        failure: Failure,
    },
    CancelRequested {
        by: Actor,
    },
    /// Steps are undone from here on, newest first, and the action ends in `outcome`.
    UndoBegan {
        outcome: State,
        failure: Option<Failure>,
    },
    UndoStarted {
        step: String,
    },
    UndoSucceeded {
        step: String,
    },
    UndoRetried {
        step: String,
        message: String,
        due_at: Timestamp,
    },
    UndoFailed {
        step: String,
        failure: Failure,
    },
    /// A person settled a stuck action.
    Settled {
        by: Actor,
    },
    Finished {
        outcome: State,
        failure: Option<Failure>,
    },
}

/// An event that is illegal in the current state.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("event {event} is illegal in state {state}")]
pub struct IllegalEvent {
    /// Name of the event.
    pub event: &'static str,
    /// Current state.
    pub state: &'static str,
}

impl Action {
    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        self.params.kind()
    }

    /// Returns the Cloud PC, if the action works on one and the target is a well-formed id.
    pub fn cloud_pc_id(&self) -> Option<CloudPcId> {
        match self.kind().document_type() {
            Some(_) => None,
            None => self.target.parse().ok(),
        }
    }

    /// Returns the document that the action works on, unless it works on a Cloud PC.
    pub fn document_key(&self) -> Option<DocumentKey> {
        Some(DocumentKey::new(self.kind().document_type()?, &self.target))
    }

    /// Returns the record of a step, if it was started.
    pub fn step(&self, name: &str) -> Option<&StepRecord> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Returns why the action failed or will fail.
    pub fn failure(&self) -> Option<&Failure> {
        self.outcome.as_ref().and_then(|(_, failure)| failure.as_ref())
    }

    /// Returns the action as it was before its first event.
    #[must_use]
    pub fn without_events(&self) -> Self {
        Self {
            state: State::Pending,
            epoch: 0,
            started_at: None,
            updated_at: self.requested_at,
            cancel_requested_at: None,
            outcome: None,
            steps: Vec::new(),
            events: 0,
            ..self.clone()
        }
    }

    /// Applies one event: the only place where an action changes state.
    ///
    /// # Errors
    /// [`IllegalEvent`] if the event is illegal in this state; the action is unchanged.
    pub fn apply(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        let illegal = IllegalEvent { event: (&event.kind).into(), state: self.state.into() };
        if event.epoch < self.epoch {
            return Err(illegal);
        }
        self.state = match (self.state, &event.kind) {
            (State::Pending, EventKind::Accepted) if self.events == 0 => State::Pending,
            (State::Pending | State::Running, EventKind::Claimed) => State::Running,
            (State::Undoing, EventKind::Claimed) => State::Undoing,
            (
                State::Running,
                EventKind::StepStarted { .. } | EventKind::StepSucceeded { .. } | EventKind::StepRetried { .. },
            ) => State::Running,
            (State::Running, EventKind::StepFailed { outcome, .. }) if is_unsuccessful(*outcome) => State::Running,
            (State::Pending | State::Running, EventKind::CancelRequested { .. }) => self.state,
            (State::Running, EventKind::UndoBegan { outcome, .. }) if is_unsuccessful(*outcome) => State::Undoing,
            (
                State::Undoing,
                EventKind::UndoStarted { .. } | EventKind::UndoSucceeded { .. } | EventKind::UndoRetried { .. },
            ) => State::Undoing,
            (State::Undoing, EventKind::UndoFailed { .. }) => State::Stuck,
            (State::Stuck, EventKind::Settled { .. }) => State::Failed,
            (State::Pending, EventKind::Finished { outcome: end @ (State::Canceled | State::Failed), .. }) => *end,
            (State::Running, EventKind::Finished { outcome, .. }) if outcome.is_final() => *outcome,
            (State::Undoing, EventKind::Finished { outcome, .. }) if is_unsuccessful(*outcome) => *outcome,
            _ => return Err(illegal),
        };
        self.epoch = event.epoch;
        self.updated_at = self.updated_at.max(event.at);
        self.events += 1;
        self.note(event);
        Ok(())
    }

    /// Records the details of a legal event.
    fn note(&mut self, event: &Event) {
        let at = event.at;
        match &event.kind {
            EventKind::Accepted => {}
            EventKind::Claimed => self.started_at = self.started_at.or(Some(at)),
            EventKind::StepStarted { step } => self.begin_step(step, at),
            EventKind::StepSucceeded { step, message } => {
                self.end_step(step, StepState::Succeeded, at, message.clone());
            }
            EventKind::StepRetried { step, message, due_at } => {
                self.end_step(step, StepState::Waiting, at, Some(message.clone()));
                self.set_due(step, *due_at);
            }
            EventKind::StepFailed { step, outcome, failure } => {
                self.end_step(step, StepState::Failed, at, Some(failure.message.clone()));
                self.outcome = Some((*outcome, Some(failure.clone())));
            }
            EventKind::CancelRequested { .. } => self.cancel_requested_at = Some(at),
            EventKind::UndoBegan { outcome, failure } => self.outcome = Some((*outcome, failure.clone())),
            EventKind::UndoStarted { step } => self.end_step(step, StepState::Undoing, at, None),
            EventKind::UndoSucceeded { step } => self.end_step(step, StepState::Undone, at, None),
            EventKind::UndoRetried { step, message, due_at } => {
                self.end_step(step, StepState::UndoWaiting, at, Some(message.clone()));
                self.set_due(step, *due_at);
            }
            EventKind::UndoFailed { step, failure } => {
                self.end_step(step, StepState::UndoFailed, at, Some(failure.message.clone()));
                self.outcome = Some((State::Failed, Some(failure.clone())));
            }
            EventKind::Settled { .. } => {}
            EventKind::Finished { outcome, failure } => self.outcome = Some((*outcome, failure.clone())),
        }
    }

    fn begin_step(&mut self, name: &str, at: Timestamp) {
        match self.steps.iter_mut().find(|step| step.name == name) {
            Some(step) => {
                step.state = StepState::Running;
                step.attempts += 1;
                step.due_at = None;
            }
            None => self.steps.push(StepRecord {
                name: name.to_owned(),
                state: StepState::Running,
                attempts: 1,
                started_at: at,
                ended_at: None,
                due_at: None,
                message: None,
            }),
        }
    }

    fn end_step(&mut self, name: &str, state: StepState, at: Timestamp, message: Option<String>) {
        if let Some(step) = self.steps.iter_mut().find(|step| step.name == name) {
            step.state = state;
            step.ended_at = Some(at);
            step.due_at = None;
            step.message = message.or_else(|| step.message.take());
        }
    }

    fn set_due(&mut self, name: &str, due_at: Timestamp) {
        if let Some(step) = self.steps.iter_mut().find(|step| step.name == name) {
            step.due_at = Some(due_at);
        }
    }
}

/// Whether the state is an unsuccessful end.
fn is_unsuccessful(state: State) -> bool {
    matches!(state, State::Failed | State::Canceled | State::NotSupported)
}
