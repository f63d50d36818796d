//! A step, what it is told and what it says.

use cloudpc_drivers::{DriverError, Guest, GuestError, MachineSpec, Tag};
use cloudpc_model::{Action, CloudPc, Failure, ImageId, Power, ServicePlanId, State};
use cloudpc_store::StoreError;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

use crate::{EngineDependencies, EngineSettings};

/// One step of a kind of action. It looks before it acts, so that it may be run again after a
/// crash, after its deadline, and by another worker.
#[derive(Debug)]
pub struct Step {
    /// Its name, unique in its recipe.
    pub name: &'static str,
    /// The code of its failure, unless what fails has a better one.
    pub code: &'static str,
    /// How the action ends if it fails for good.
    pub fails_as: State,
    /// The longest that one attempt may take.
    pub time_max: TimeMax,
    /// What its deadline means.
    pub on_timeout: OnTimeout,
    /// Attempts, the first included.
    pub attempts_max: u32,
    /// What a request to cancel does while it runs.
    pub cancel: CancelMode,
    /// Whether there is no way back once it has begun.
    pub no_return: bool,
    /// Whether it changes the machine's power state, so that an unknown outcome makes that unknown.
    pub powers: bool,
    /// Whether an attempt has failed when the machine goes off by itself.
    pub needs_power: bool,
    pub(crate) act: StepFn,
    pub(crate) undo: Option<StepFn>,
}

/// How long an attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeMax {
    /// So long.
    Fixed(Duration),
    /// As long as an installer may run, which is a setting.
    Install,
}

/// What it means that an attempt did not end in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    /// It may have had its effect: look again.
    Recheck,
    /// It has failed for good, with this code; what did not happen, for people.
    Fail(&'static str, &'static str),
}

/// What a request to cancel does to a step under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelMode {
    /// The call is dropped.
    AtOnce,
    /// The call ends first, because half a change of a disk or of power is worse than a whole one.
    AfterStep,
}

/// A function that does or undoes a step.
pub(crate) type StepFn = for<'a> fn(&'a StepContext) -> StepFuture<'a>;

/// A call under way.
pub(crate) type StepFuture<'a> = BoxFuture<'a, Result<StepOutput, StepError>>;

/// What a step says when it has had its effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepOutput {
    /// For people.
    pub message: Option<String>,
    /// The power state that the machine is now known to be in.
    pub power: Option<Power>,
}

impl StepOutput {
    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn message(text: impl Into<String>) -> Self {
        Self { message: Some(text.into()), power: None }
    }

    pub fn power(power: Power) -> Self {
        Self { message: None, power: Some(power) }
    }
}

/// Why a step did not have its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepError {
    /// Trying again may help.
    Transient(String),
    /// It may have had its effect: look again.
    OutcomeUnknown(String),
    /// For good. Without an outcome or a code, the step's.
    Permanent { outcome: Option<State>, code: Option<String>, message: String },
}

impl StepError {
    /// For good, with the outcome and the code of the step.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Permanent { outcome: None, code: None, message: message.into() }
    }

    /// For good, because the machine cannot do this at all.
    pub fn not_supported(message: impl Into<String>) -> Self {
        Self::Permanent { outcome: Some(State::NotSupported), code: None, message: message.into() }
    }
}

impl From<DriverError> for StepError {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Unavailable(_) => Self::Transient(error.to_string()),
            DriverError::OutcomeUnknown(_) => Self::OutcomeUnknown(error.to_string()),
            DriverError::NotFound(_) | DriverError::Conflict(_) => Self::failed(error.to_string()),
            DriverError::Rejected { code, message } => Self::Permanent { outcome: None, code: Some(code), message },
        }
    }
}

impl From<GuestError> for StepError {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::Driver(error) => error.into(),
            GuestError::NotReady(_) => Self::Transient(error.to_string()),
            GuestError::Unreachable(why) | GuestError::FileNotFound(why) | GuestError::DiskFull(why) => {
                Self::failed(why)
            }
        }
    }
}

/// A store that does not answer now may answer later; the action waits for it.
impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Transient(error.to_string())
    }
}

/// What a step is told: the action and the Cloud PC as they were when it began.
pub(crate) struct StepContext {
    pub parts: Arc<EngineDependencies>,
    pub action: Action,
    pub cloud_pc: Option<CloudPc>,
}

impl StepContext {
    /// The Cloud PC of a remote action, which had one when it was accepted.
    pub fn cloud_pc(&self) -> Result<&CloudPc, StepError> {
        self.cloud_pc.as_ref().ok_or_else(|| StepError::failed("The Cloud PC is gone."))
    }

    /// Names what this action does to the machine.
    pub fn tag(&self) -> Tag {
        crate::tag(self.action.id, self.action.tag_nonce)
    }

    /// The machine as it should be, with another size or image than the stored one where these are
    /// given.
    pub async fn spec(&self, plan: Option<ServicePlanId>, image: Option<ImageId>) -> Result<MachineSpec, StepError> {
        let cloud_pc = self.cloud_pc()?;
        let (tenant, plan_id) = (cloud_pc.tenant_id, plan.unwrap_or(cloud_pc.service_plan_id));
        let plan = self.parts.store.read(move |reader| reader.service_plan(tenant, plan_id)).await?;
        let plan = plan.ok_or_else(|| StepError::failed(format!("The service plan {plan_id} is gone.")))?;
        Ok(MachineSpec {
            id: cloud_pc.id,
            hostname: cloud_pc.managed_device_name.clone(),
            vcpu_count: plan.vcpu_count,
            ram_gib: plan.ram_gib,
            storage_gib: plan.storage_gib,
            gpu: plan.gpu,
            image: image.unwrap_or_else(|| cloud_pc.image_id.clone()),
        })
    }

    /// The operating system inside the machine.
    pub async fn guest(&self) -> Result<Box<dyn Guest>, StepError> {
        Ok(self.parts.driver.guest(self.cloud_pc()?.id).await?)
    }
}

impl Step {
    /// A step that may be canceled at once, tried five times, and has nothing to undo.
    pub(crate) const fn new(name: &'static str, code: &'static str, time_max: Duration, act: StepFn) -> Self {
        Self {
            name,
            code,
            fails_as: State::Failed,
            time_max: TimeMax::Fixed(time_max),
            on_timeout: OnTimeout::Recheck,
            attempts_max: 5,
            cancel: CancelMode::AtOnce,
            no_return: false,
            powers: false,
            needs_power: false,
            act,
            undo: None,
        }
    }

    /// The same, taken back by `undo`.
    pub(crate) const fn undone_by(self, undo: StepFn) -> Self {
        Self { undo: Some(undo), ..self }
    }

    /// Whether it can be taken back.
    pub fn has_undo(&self) -> bool {
        self.undo.is_some()
    }

    /// How long an attempt may take.
    pub(crate) fn time_max(&self, settings: &EngineSettings) -> Duration {
        match self.time_max {
            TimeMax::Fixed(time) => time,
            TimeMax::Install => settings.install_time_max,
        }
    }

    /// The failure of this step, with a code that its kind of action may have.
    pub(crate) fn failure(&self, action: &Action, code: Option<String>, message: String) -> Failure {
        let known = |code: &String| action.kind().is_remote_action() || super::DEPLOY_ERROR_CODES.contains(&&**code);
        Failure { code: code.filter(known).unwrap_or_else(|| self.code.to_owned()), message }
    }
}
