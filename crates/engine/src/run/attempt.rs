//! One attempt at a step: the call with its deadline, and what its answer means.

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

/// The pause before the second attempt; it doubles from there.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// How often one worker tries to take a step back before a person has to look: with the pauses
/// about half an hour.
const UNDO_ATTEMPTS_MAX: u32 = 12;

/// Taking a step back may take at least so long, however short the step is.
const UNDO_TIME_MIN: Duration = Duration::from_secs(120);

/// How an attempt went.
pub(super) enum Attempt {
    /// There is something to log, if only that time has passed.
    Ended(TurnLog),
    /// The claim is someone else's now: say nothing.
    Lost,
}

enum CallResult {
    Answered(Result<StepOutput, StepError>),
    OnTimeout,
    Canceled,
    Lost,
}

impl Engine {
    /// Tries a step that is logged as begun.
    pub(super) async fn attempt(&self, step: &'static Step, turn: &ActionTurn, holding: &ClaimGuard) -> Attempt {
        let now = self.parts.clock.now();
        let mut until = now + step.time_max(&self.parts.settings);
        if turn.may_be_canceled() {
            until = until.min(turn.action.deadline_at);
        }
        let cancelable = step.cancel == CancelMode::AtOnce && turn.may_be_canceled();
        let error = match self.call(step, false, turn, holding, until, cancelable).await {
            CallResult::Lost => return Attempt::Lost,
            CallResult::Canceled => return Attempt::Ended(TurnLog::default()),
            CallResult::Answered(Ok(said)) => {
                let event = EventKind::StepSucceeded { step: step.name.into(), message: said.message };
                return Attempt::Ended(TurnLog { event: Some(event), power: said.power });
            }
            CallResult::Answered(Err(error)) => error,
            // The action's own deadline: the plan sees to it.
            CallResult::OnTimeout if turn.may_be_canceled() && self.parts.clock.now() >= turn.action.deadline_at => {
                return Attempt::Ended(TurnLog { event: None, power: unknown_power(step) });
            }
            CallResult::OnTimeout => late(step, step.time_max(&self.parts.settings)),
        };
        let power = if matches!(error, StepError::OutcomeUnknown(_)) { unknown_power(step) } else { None };
        let attempts = turn.action.step(step.name).map_or(1, |record| record.attempts);
        let (message, pause) = match error {
            StepError::Permanent { outcome, code, message } => {
                let failure = step.failure(&turn.action, code, message);
                let outcome = outcome.unwrap_or(step.fails_as);
                let event = EventKind::StepFailed { step: step.name.into(), outcome, failure };
                return Attempt::Ended(TurnLog { event: Some(event), power });
            }
            StepError::Transient(message) => (message, self.pause(attempts)),
            StepError::OutcomeUnknown(message) => (message, Duration::ZERO),
        };
        let step_name = step.name.to_owned();
        let event = if attempts >= step.attempts_max {
            let message = format!("{message} (after {attempts} attempts)");
            let failure = step.failure(&turn.action, None, message);
            EventKind::StepFailed { step: step_name, outcome: step.fails_as, failure }
        } else {
            EventKind::StepRetried { step: step_name, message, due_at: self.parts.clock.now() + pause }
        };
        Attempt::Ended(TurnLog { event: Some(event), power })
    }

    /// Tries to take a step back; `tries` counts this worker's attempts at it.
    pub(super) async fn attempt_undo(
        &self,
        step: &'static Step,
        turn: &ActionTurn,
        holding: &ClaimGuard,
        tries: u32,
    ) -> Attempt {
        let time_max = step.time_max(&self.parts.settings).max(UNDO_TIME_MIN);
        let until = self.parts.clock.now() + time_max;
        let step_name = step.name.to_owned();
        let (error, power) = match self.call(step, true, turn, holding, until, false).await {
            CallResult::Lost => return Attempt::Lost,
            CallResult::Answered(Ok(said)) => {
                let event = EventKind::UndoSucceeded { step: step_name };
                return Attempt::Ended(TurnLog { event: Some(event), power: said.power });
            }
            CallResult::Answered(Err(error)) => (error, None),
            CallResult::OnTimeout | CallResult::Canceled => (looks_again(time_max), unknown_power(step)),
        };
        let event = match error {
            StepError::Transient(message) | StepError::OutcomeUnknown(message) if tries < UNDO_ATTEMPTS_MAX => {
                let due_at = self.parts.clock.now() + self.pause(tries);
                EventKind::UndoRetried { step: step_name, message, due_at }
            }
            StepError::Transient(message)
            | StepError::OutcomeUnknown(message)
            | StepError::Permanent { message, .. } => {
                let why = plan::undo_reason(&turn.action);
                let message = format!("{why}. Then '{}' could not be undone: {message}", step.name);
                EventKind::UndoFailed { step: step_name, failure: step.failure(&turn.action, None, message) }
            }
        };
        Attempt::Ended(TurnLog { event: Some(event), power })
    }

    async fn call(
        &self,
        step: &'static Step,
        undo: bool,
        turn: &ActionTurn,
        holding: &ClaimGuard,
        until: Timestamp,
        cancelable: bool,
    ) -> CallResult {
        let context = StepContext {
            parts: Arc::clone(&self.parts),
            action: turn.action.clone(),
            cloud_pc: turn.cloud_pc.clone(),
        };
        let call = AssertUnwindSafe(self.call_under_faults(step, undo, &context)).catch_unwind();
        tokio::select! {
            biased;
            () = holding.lost.cancelled() => CallResult::Lost,
            () = holding.cancel.cancelled(), if cancelable => CallResult::Canceled,
            () = self.goes_off(turn.action.cloud_pc_id()), if step.needs_power && !undo => {
                CallResult::Answered(Err(StepError::Transient("The machine has gone off.".into())))
            }
            answer = call => CallResult::Answered(answer.unwrap_or_else(|panic| {
                let what = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                tracing::error!(action.id = %turn.action.id, step = step.name, panic = what, "a step panicked");
                Err(StepError::Transient("The step failed by a fault of cloudpc; its log says more.".into()))
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
        match self.parts.faults.strike(&context.action, step.name, undo, &*self.parts.rng) {
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
                Err(StepError::OutcomeUnknown("The answer was lost, as a fault rule says.".into()))
            }
            Some(Effect::Crash) => {
                let _ = call(context).await;
                self.parts.faults.crash();
                pending().await
            }
        }
    }

    /// How long to wait after so many attempts: doubling, and a quarter of it up or down by chance
    /// so that machines on one host do not ask it all at once.
    fn pause(&self, attempts: u32) -> Duration {
        let doubled = PAUSE_MIN.saturating_mul(2u32.saturating_pow(attempts.saturating_sub(1)));
        let percent = 75 + u32::try_from(self.parts.rng.below(51)).unwrap_or(0);
        doubled.min(PAUSE_MAX) * percent / 100
    }
}

fn late(step: &Step, time_max: Duration) -> StepError {
    match step.on_timeout {
        OnTimeout::Recheck => looks_again(time_max),
        OnTimeout::Fail(code, what) => {
            let message = format!("{what} within {} seconds.", time_max.as_secs());
            StepError::Permanent { outcome: Some(State::Failed), code: Some(code.into()), message }
        }
    }
}

fn looks_again(time_max: Duration) -> StepError {
    StepError::OutcomeUnknown(format!("It did not end within {} seconds.", time_max.as_secs()))
}

fn unknown_power(step: &Step) -> Option<Power> {
    step.powers.then_some(Power::Unknown)
}
