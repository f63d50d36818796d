//! An action: durable work on one Cloud PC, told by an append-only log of events.
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
//! [`Action::apply`] is the only place where an action changes. This module refuses to know what the steps do, when they are due and how an
//! action is stored.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use strum::{EnumIter, EnumString, IntoStaticStr};

use crate::{
    ActionId, ActivityId, AgentSetting, AppId, CloudPcId, ImageId, OsVersion, PartnerId, ServicePlanId, SnapshotId,
    TenantId, Timestamp, UserAccountType, UserId,
};

/// Where an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Accepted and durable; waits for its machine or for a worker.
    Pending,
    /// Its steps are being run.
    Running,
    /// Its steps are being undone.
    Undoing,
    /// Ended well.
    Done,
    /// Ended badly; what could be undone was.
    Failed,
    /// Ended before its point of no return because someone asked, or because its target was missing or unusable.
    Canceled,
    /// The machine cannot do this at all; nothing was tried.
    NotSupported,
    /// An undo failed: a person has to look. Holds the machine.
    Stuck,
}

impl State {
    /// Whether the action has ended for good.
    pub fn is_final(self) -> bool {
        match self {
            Self::Done | Self::Failed | Self::Canceled | Self::NotSupported => true,
            Self::Pending | Self::Running | Self::Undoing | Self::Stuck => false,
        }
    }
}

/// What an action does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is named after the Graph action it carries out; undo is our own")]
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
    DeployAgent,
}

impl Kind {
    /// Whether Graph calls it a remote action: all but deployments. A machine takes one open remote action at a time.
    pub fn is_remote_action(self) -> bool {
        self != Self::DeployAgent
    }

    /// Whether it leaves a way back to what the Cloud PC was before it. An undo does too: what it takes away is not lost either.
    pub fn can_be_undone(self) -> bool {
        matches!(self, Self::Reprovision | Self::Resize | Self::Restore | Self::Undo)
    }

    /// The name, as stored and shown.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What exactly was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[expect(
    missing_docs,
    reason = "the fields are the parameters of the Graph action of the same name, or what an undo undoes"
)]
pub enum Params {
    Reprovision {
        os_version: Option<OsVersion>,
        user_account_type: Option<UserAccountType>,
        /// From which image, as it was chosen when the action was accepted: the gallery may be another one when it runs.
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
    DeployAgent {
        partner_id: PartnerId,
        activity_id: ActivityId,
        agent: AgentSetting,
    },
}

impl Params {
    /// The kind of action that these are the parameters of.
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
            Self::DeployAgent { .. } => Kind::DeployAgent,
        }
    }
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// In what role.
    pub kind: ActorKind,
    /// The calling application.
    pub app_id: Option<AppId>,
    /// Its name.
    pub app_name: String,
    /// The calling user, with a delegated token.
    pub user_id: Option<UserId>,
    /// Their name, e.g. `ada@contoso.test`.
    pub user_principal_name: String,
    /// The address that the request came from, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<IpAddr>,
}

impl Actor {
    /// cloudpc itself, e.g. for an automatic deployment.
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

/// In what role someone asked.
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

/// Why an action did not end well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable name for programs; for deployments a member of `cloudPcExternalPartnerActionErrorCode`.
    pub code: String,
    /// What happened and what to do, for people.
    pub message: String,
}

/// An action, as the fold of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its number.
    pub id: ActionId,
    /// The random part of the tag that marks the action's work on machines. Numbers come again after
    /// an older database is restored; tags must not. None for actions accepted before
    /// tags had one.
    pub tag_nonce: Option<u64>,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The Cloud PC as the caller named it; for a deployment it may name nothing.
    pub target: String,
    /// What was asked for.
    pub params: Params,
    /// Who asked.
    pub requested_by: Actor,
    /// When.
    pub requested_at: Timestamp,
    /// When it has to have ended; past it, it fails and is undone.
    pub deadline_at: Timestamp,
    /// Where it stands.
    pub state: State,
    /// Counts the claims. A write by an older claim is refused.
    pub epoch: i64,
    /// When its first step began.
    pub started_at: Option<Timestamp>,
    /// Its latest event.
    pub updated_at: Timestamp,
    /// When someone asked to cancel it.
    pub cancel_requested_at: Option<Timestamp>,
    /// Once undoing: how it will end. Once ended: why.
    pub outcome: Option<(State, Option<Failure>)>,
    /// The steps begun so far, in order.
    pub steps: Vec<StepRecord>,
    /// Events applied so far.
    pub events: u32,
}

/// How one step stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: StepState,
    /// Times it was begun.
    pub attempts: u32,
    /// First begun.
    pub started_at: Timestamp,
    /// Last ended.
    pub ended_at: Option<Timestamp>,
    /// Not to be tried again before this.
    pub due_at: Option<Timestamp>,
    /// What it said, good or bad.
    pub message: Option<String>,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepState {
    /// Begun. After a crash it may have had its effect or not, which is why every step looks before it acts.
    Running,
    /// Will be tried again.
    Waiting,
    /// Had its effect.
    Succeeded,
    /// Failed for good.
    Failed,
    /// Its effect is being taken back.
    Undoing,
    /// Will be tried again to be taken back.
    UndoWaiting,
    /// Its effect was taken back.
    Undone,
    /// Its effect could not be taken back.
    UndoFailed,
}

/// One row of an action's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// The claim that wrote it; 0 before the first.
    pub epoch: i64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened to an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[strum(serialize_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are plain; what each event does is in Action::apply")]
pub enum EventKind {
    /// Committed together with the action itself.
    Accepted,
    /// A worker took it; its `epoch` is the new one.
    Claimed,
    /// Written before the step acts.
    StepStarted {
        step: String,
    },
    StepSucceeded {
        step: String,
        message: Option<String>,
    },
    /// A passing trouble, or an outcome not known: the step looks again at `due_at`.
    StepRetried {
        step: String,
        message: String,
        due_at: Timestamp,
    },
    /// For good; the action will end in `outcome`.
    StepFailed {
        step: String,
        outcome: State,
        failure: Failure,
    },
    CancelRequested {
        by: Actor,
    },
    /// From here on steps are taken back, last first, and the action ends in `outcome`.
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
    /// A person dealt with a stuck action.
    Settled {
        by: Actor,
    },
    Finished {
        outcome: State,
        failure: Option<Failure>,
    },
}

/// An event that may not follow.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("event {event} may not follow in state {state}")]
pub struct IllegalEvent {
    /// The event.
    pub event: &'static str,
    /// The state it met.
    pub state: &'static str,
}

impl Action {
    /// What it does.
    pub fn kind(&self) -> Kind {
        self.params.kind()
    }

    /// The Cloud PC it is for, if the caller named one by a well-formed id.
    pub fn cloud_pc_id(&self) -> Option<CloudPcId> {
        self.target.parse().ok()
    }

    /// How the named step stands, if it was begun.
    pub fn step(&self, name: &str) -> Option<&StepRecord> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Why it ended, or will end, badly.
    pub fn failure(&self) -> Option<&Failure> {
        self.outcome.as_ref().and_then(|(_, failure)| failure.as_ref())
    }

    /// Applies one event: the only place where an action changes state.
    ///
    /// # Errors
    /// [`IllegalEvent`] if the event may not follow in this state; the action is unchanged.
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
            (State::Running, EventKind::StepFailed { outcome, .. }) if is_bad_end(*outcome) => State::Running,
            (State::Pending | State::Running, EventKind::CancelRequested { .. }) => self.state,
            (State::Running, EventKind::UndoBegan { outcome, .. }) if is_bad_end(*outcome) => State::Undoing,
            (
                State::Undoing,
                EventKind::UndoStarted { .. } | EventKind::UndoSucceeded { .. } | EventKind::UndoRetried { .. },
            ) => State::Undoing,
            (State::Undoing, EventKind::UndoFailed { .. }) => State::Stuck,
            (State::Stuck, EventKind::Settled { .. }) => State::Failed,
            (State::Pending, EventKind::Finished { outcome: end @ (State::Canceled | State::Failed), .. }) => *end,
            (State::Running, EventKind::Finished { outcome, .. }) if outcome.is_final() => *outcome,
            (State::Undoing, EventKind::Finished { outcome, .. }) if is_bad_end(*outcome) => *outcome,
            _ => return Err(illegal),
        };
        self.epoch = event.epoch;
        self.updated_at = self.updated_at.max(event.at);
        self.events += 1;
        self.note(event);
        Ok(())
    }

    /// Records what a legal event says beside the state.
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

/// Whether an action may be undone into this state.
fn is_bad_end(state: State) -> bool {
    matches!(state, State::Failed | State::Canceled | State::NotSupported)
}
