//! Steps: their definition, context and result.

use cloudpc_drivers::{DriverError, Guest, GuestError, MachineSpec, Tag};
use cloudpc_model::{
    Action, CloudPc, Document, Failure, ImageId, Kind, Object, Power, ServicePlan, ServicePlanId, State,
};
use cloudpc_store::StoreError;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

use super::ImportTurns;
use crate::target::Target;
use crate::{EngineDependencies, EngineSettings};

/// One step of a recipe. Idempotent: it checks the present state before it acts, because it may be
/// run again after a crash or timeout, or by another worker.
#[derive(Debug)]
pub struct Step {
    /// Name, unique in its recipe.
    pub name: &'static str,
    /// Default error code of a failure.
    pub code: &'static str,
    /// Final state of the action if the step fails permanently.
    pub fails_as: State,
    /// Timeout of one attempt.
    pub time_max: TimeMax,
    /// Meaning of a timeout.
    pub on_timeout: OnTimeout,
    /// Most attempts, the first included.
    pub attempts_max: u32,
    /// Effect of a cancel request while the step runs.
    pub cancel: CancelMode,
    /// Whether the action can no longer be undone once the step has started.
    pub no_return: bool,
    /// Whether the step changes the machine's power state, so that an unknown outcome makes that
    /// unknown.
    pub powers: bool,
    /// Whether an attempt fails if the machine powers off by itself.
    pub needs_power: bool,
    pub(crate) act: StepFn,
    pub(crate) undo: Option<StepFn>,
}

/// Timeout of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeMax {
    /// Fixed duration.
    Fixed(Duration),
    /// The configured timeout of an installer.
    Install,
}

/// Meaning of an attempt's timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    /// The step may have taken effect: attempt it again, which checks the state.
    Recheck,
    /// The step failed permanently. Error code, and the start of the message, such as "The guest
    /// did not respond".
    Fail(&'static str, &'static str),
}

/// Effect of a cancel request on a running step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelMode {
    /// The call is aborted.
    AtOnce,
    /// The call completes first, because a partial change of a disk or of power is worse than a
    /// complete one.
    AfterStep,
}

/// Function that performs or undoes a step.
pub(crate) type StepFn = for<'a> fn(&'a StepContext) -> StepFuture<'a>;

/// Future of a running call.
pub(crate) type StepFuture<'a> = BoxFuture<'a, Result<StepOutput, StepError>>;

/// Result of a successful step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepOutput {
    /// Message for people.
    pub message: Option<String>,
    /// Power state that the machine is now known to be in.
    pub power: Option<Power>,
    /// Properties of the document's status that are now known.
    pub status: Object,
}

impl StepOutput {
    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn message(text: impl Into<String>) -> Self {
        Self { message: Some(text.into()), ..Self::default() }
    }

    pub fn power(power: Power) -> Self {
        Self { power: Some(power), ..Self::default() }
    }

    pub fn status(status: Object) -> Self {
        Self { status, ..Self::default() }
    }
}

/// Cause of a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepError {
    /// Temporary error: retry.
    Transient(String),
    /// The step cannot proceed yet: retry until the action's deadline, however many attempts it
    /// takes.
    Waiting(String),
    /// The step may have taken effect: attempt it again, which checks the state.
    OutcomeUnknown(String),
    /// Permanent error. Without an outcome or code, those of the step apply.
    Permanent { outcome: Option<State>, code: Option<String>, message: String },
}

impl StepError {
    /// Returns a permanent error with the outcome and code of the step.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Permanent { outcome: None, code: None, message: message.into() }
    }

    /// Returns a permanent error of a machine that does not support the operation.
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
            GuestError::Unsupported(why) => Self::not_supported(why),
            GuestError::Unreachable(why) | GuestError::FileNotFound(why) | GuestError::DiskFull(why) => {
                Self::failed(why)
            }
        }
    }
}

/// Store errors are temporary: the action retries.
impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Transient(error.to_string())
    }
}

/// Context of a step: the action and its target as they were when it started.
pub(crate) struct StepContext {
    pub parts: Arc<EngineDependencies>,
    pub imports: Arc<ImportTurns>,
    pub action: Arc<Action>,
    pub target: Arc<Target>,
}

impl StepContext {
    /// Returns the Cloud PC of a remote action, which existed on acceptance.
    pub fn cloud_pc(&self) -> Result<&CloudPc, StepError> {
        self.target.cloud_pc().ok_or_else(|| StepError::failed("The Cloud PC no longer exists."))
    }

    /// Returns the document of an action on a document. Deleting a document cancels its actions.
    pub fn document(&self) -> Result<&Document, StepError> {
        self.target.document().ok_or_else(|| StepError::Permanent {
            outcome: Some(State::Canceled),
            code: Some("canceled".into()),
            message: "The entity was deleted.".into(),
        })
    }

    /// Returns the tag that marks this action's work on the machine.
    pub fn tag(&self) -> Tag {
        crate::tag(self.action.id, self.action.tag_nonce)
    }

    /// Returns the intended machine, optionally with another size or image.
    pub async fn spec(&self, plan: Option<ServicePlanId>, image: Option<ImageId>) -> Result<MachineSpec, StepError> {
        let cloud_pc = self.cloud_pc()?;
        let (tenant, plan_id) = (cloud_pc.tenant_id, plan.unwrap_or(cloud_pc.service_plan_id));
        let plan = self.parts.store.read(move |reader| reader.service_plan(tenant, plan_id)).await?;
        self.spec_of(plan_id, plan, image)
    }

    /// Returns the intended machine with the size of a service plan that was read, optionally with
    /// another image.
    pub fn spec_of(
        &self,
        plan_id: ServicePlanId,
        plan: Option<ServicePlan>,
        image: Option<ImageId>,
    ) -> Result<MachineSpec, StepError> {
        let cloud_pc = self.cloud_pc()?;
        let plan = plan.ok_or_else(|| StepError::failed(format!("The service plan {plan_id} no longer exists.")))?;
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

    /// Returns the guest of the machine.
    pub async fn guest(&self) -> Result<Box<dyn Guest>, StepError> {
        Ok(self.parts.driver.guest(self.cloud_pc()?.id).await?)
    }
}

impl Step {
    /// Returns a step that can be canceled at once, is attempted at most five times, and has no
    /// undo.
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

    /// Adds an undo function.
    pub(crate) const fn undone_by(self, undo: StepFn) -> Self {
        Self { undo: Some(undo), ..self }
    }

    /// Returns whether the step has an undo.
    pub fn has_undo(&self) -> bool {
        self.undo.is_some()
    }

    /// Returns the timeout of an attempt.
    pub(crate) fn time_max(&self, settings: &EngineSettings) -> Duration {
        match self.time_max {
            TimeMax::Fixed(time) => time,
            TimeMax::Install => settings.install_time_max,
        }
    }

    /// Returns the failure of this step, with a code that its kind of action allows.
    pub(crate) fn failure(&self, action: &Action, code: Option<String>, message: String) -> Failure {
        let known = |code: &String| action.kind() != Kind::DeployAgent || super::DEPLOY_ERROR_CODES.contains(&&**code);
        Failure { code: code.filter(known).unwrap_or_else(|| self.code.to_owned()), message }
    }
}
