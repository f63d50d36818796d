//! One attempt at a step: the call with its timeout, and the interpretation of its result.

use cloudpc_model::{EventKind, Power, State, Timestamp};
use futures_util::FutureExt;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use super::turn::{ActionTurn, TurnLog};
use super::work::ClaimGuard;
use crate::actions::{CancelMode, OnTimeout, Step, StepContext, StepError, StepOutput};
use crate::{Effect, Engine, plan};

/// Backoff before the second attempt; doubles with each further attempt.
const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// Maximum backoff.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Most attempts of one worker to undo a step, about half an hour with backoff; after them the
/// action is stuck.
const UNDO_ATTEMPTS_MAX: u32 = 12;

/// Minimum timeout of undoing a step, however short the step's own is.
const UNDO_TIME_MIN: Duration = Duration::from_secs(120);

/// Outcome of an attempt.
pub(super) enum Attempt {
    /// The attempt ended with something to log, even if only time has passed.
    Ended(TurnLog),
    /// Another worker holds the claim now: log nothing.
    Lost,
}

enum CallResult {
    Answered(Result<StepOutput, StepError>),
    OnTimeout,
    Canceled,
    Lost,
}

impl Engine {
    /// Attempts a step that is logged as started.
    pub(super) async fn attempt(&self, step: &'static Step, turn: &ActionTurn, claim: &ClaimGuard) -> Attempt {
        let now = self.parts.clock.now();
        let mut until = now + step.time_max(&self.parts.settings);
        if turn.may_be_canceled() {
            until = until.min(turn.action.deadline_at);
        }
        let cancelable = step.cancel == CancelMode::AtOnce && turn.may_be_canceled();
        let error = match self.call(step, false, turn, claim, until, cancelable).await {
            CallResult::Lost => return Attempt::Lost,
            CallResult::Canceled => return Attempt::Ended(TurnLog::default()),
            CallResult::Answered(Ok(output)) => {
                let event = EventKind::StepSucceeded { step: step.name.into(), message: output.message };
                return Attempt::Ended(TurnLog { event: Some(event), power: output.power, status: output.status });
            }
            CallResult::Answered(Err(error)) => error,
            // The action's own deadline expired, which the plan handles.
            CallResult::OnTimeout if turn.may_be_canceled() && self.parts.clock.now() >= turn.action.deadline_at => {
                return Attempt::Ended(TurnLog { power: unknown_power(step), ..TurnLog::default() });
            }
            CallResult::OnTimeout => timeout_error(step, step.time_max(&self.parts.settings)),
        };
        let power = if matches!(error, StepError::OutcomeUnknown(_)) { unknown_power(step) } else { None };
        let attempts = turn.action.step(step.name).map_or(1, |record| record.attempts);
        let (message, backoff) = match error {
            StepError::Permanent { outcome, code, message } => {
                let failure = step.failure(&turn.action, code, message);
                let outcome = outcome.unwrap_or(step.fails_as);
                let event = EventKind::StepFailed { step: step.name.into(), outcome, failure };
                return Attempt::Ended(TurnLog { event: Some(event), power, ..TurnLog::default() });
            }
            StepError::Transient(message) => (message, self.backoff(attempts)),
            StepError::Waiting(message) => {
                let due_at = self.parts.clock.now() + self.backoff(attempts);
                let event = EventKind::StepRetried { step: step.name.into(), message, due_at };
                return Attempt::Ended(TurnLog { event: Some(event), power, ..TurnLog::default() });
            }
            StepError::OutcomeUnknown(message) => (message, Duration::ZERO),
        };
        let step_name = step.name.to_owned();
        let event = if attempts >= step.attempts_max {
            let message = format!("{} (after {attempts} attempts).", message.trim_end_matches('.'));
            let failure = step.failure(&turn.action, None, message);
            EventKind::StepFailed { step: step_name, outcome: step.fails_as, failure }
        } else {
            EventKind::StepRetried { step: step_name, message, due_at: self.parts.clock.now() + backoff }
        };
        Attempt::Ended(TurnLog { event: Some(event), power, ..TurnLog::default() })
    }

    /// Attempts to undo a step; `attempts` counts this worker's attempts at it.
    pub(super) async fn attempt_undo(
        &self,
        step: &'static Step,
        turn: &ActionTurn,
        claim: &ClaimGuard,
        attempts: u32,
    ) -> Attempt {
        let time_max = step.time_max(&self.parts.settings).max(UNDO_TIME_MIN);
        let until = self.parts.clock.now() + time_max;
        let step_name = step.name.to_owned();
        let (error, power) = match self.call(step, true, turn, claim, until, false).await {
            CallResult::Lost => return Attempt::Lost,
            CallResult::Answered(Ok(output)) => {
                let event = EventKind::UndoSucceeded { step: step_name };
                return Attempt::Ended(TurnLog { event: Some(event), power: output.power, status: output.status });
            }
            CallResult::Answered(Err(error)) => (error, None),
            CallResult::OnTimeout | CallResult::Canceled => (timed_out(time_max), unknown_power(step)),
        };
        let event = match error {
            StepError::Transient(message) | StepError::Waiting(message) | StepError::OutcomeUnknown(message)
                if attempts < UNDO_ATTEMPTS_MAX =>
            {
                let due_at = self.parts.clock.now() + self.backoff(attempts);
                EventKind::UndoRetried { step: step_name, message, due_at }
            }
            StepError::Transient(message)
            | StepError::Waiting(message)
            | StepError::OutcomeUnknown(message)
            | StepError::Permanent { message, .. } => {
                let why = plan::undo_reason(&turn.action);
                let message = format!("{why}. Then undoing step '{}' failed: {message}", step.name);
                EventKind::UndoFailed { step: step_name, failure: step.failure(&turn.action, None, message) }
            }
        };
        Attempt::Ended(TurnLog { event: Some(event), power, ..TurnLog::default() })
    }

    async fn call(
        &self,
        step: &'static Step,
        undo: bool,
        turn: &ActionTurn,
        claim: &ClaimGuard,
        until: Timestamp,
        cancelable: bool,
    ) -> CallResult {
        let context = StepContext {
            parts: Arc::clone(&self.parts),
            imports: Arc::clone(&self.imports),
            action: Arc::clone(&turn.action),
            target: Arc::clone(&turn.target),
        };
        let call = AssertUnwindSafe(self.call_under_faults(step, undo, &context)).catch_unwind();
        tokio::select! {
            biased;
            () = claim.lost.cancelled() => CallResult::Lost,
            () = claim.cancel.cancelled(), if cancelable => CallResult::Canceled,
            () = self.power_loss(turn.action.cloud_pc_id()), if step.needs_power && !undo => {
                CallResult::Answered(Err(StepError::Transient("The machine powered off unexpectedly.".into())))
            }
            answer = call => CallResult::Answered(answer.unwrap_or_else(|panic| {
                let what = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                tracing::error!(action.id = %turn.action.id, step = step.name, panic = what, "a step panicked");
                Err(StepError::Transient("Internal error: the step panicked. See the log of cloudpc.".into()))
            })),
            () = self.parts.clock.sleep_until(until) => CallResult::OnTimeout,
        }
    }

    async fn call_under_faults(
        &self,
        step: &'static Step,
        undo: bool,
        context: &StepContext,
    ) -> Result<StepOutput, StepError> {
        let call = match (undo, step.undo) {
            (true, Some(undo)) => undo,
            _ => step.act,
        };
        match self.parts.faults.effect_on(&context.action, step.name, undo, &*self.parts.rng) {
            None => call(context).await,
            Some(Effect::Fail { code, message }) => {
                Err(StepError::Permanent { outcome: None, code: Some(code), message })
            }
            Some(Effect::Hang) => pending().await,
            Some(Effect::SlowDown { by_ms }) => {
                let begin_at = self.parts.clock.now() + Duration::from_millis(by_ms);
                self.parts.clock.sleep_until(begin_at).await;
                call(context).await
            }
            Some(Effect::LoseOutcome) => {
                call(context).await?;
                Err(StepError::OutcomeUnknown("A fault rule discarded the result.".into()))
            }
            Some(Effect::Crash) => {
                let _ = call(context).await;
                self.parts.faults.crash();
                pending().await
            }
        }
    }

    /// Returns the backoff after this many attempts: exponential with 25 % jitter, so that machines
    /// on one host do not retry in lockstep.
    fn backoff(&self, attempts: u32) -> Duration {
        let doubled = BACKOFF_MIN.saturating_mul(2u32.saturating_pow(attempts.saturating_sub(1)));
        let percent = 75 + u32::try_from(self.parts.rng.below(51)).unwrap_or(0);
        doubled.min(BACKOFF_MAX) * percent / 100
    }
}

fn timeout_error(step: &Step, time_max: Duration) -> StepError {
    match step.on_timeout {
        OnTimeout::Recheck => timed_out(time_max),
        OnTimeout::Fail(code, what) => {
            let message = format!("{what} within {} seconds.", time_max.as_secs());
            StepError::Permanent { outcome: Some(State::Failed), code: Some(code.into()), message }
        }
    }
}

fn timed_out(time_max: Duration) -> StepError {
    StepError::OutcomeUnknown(format!("The step timed out after {} seconds.", time_max.as_secs()))
}

fn unknown_power(step: &Step) -> Option<Power> {
    step.powers.then_some(Power::Unknown)
}
