//! Scripted trouble for simulated fleets and for tests: rules that change what happens to a step.
//!
//! A rule lives in this process and is gone with it, so a rule that crashes the process acts once.

use cloudpc_model::{Action, CloudPcId, Kind, Rng};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which steps a rule touches, and what it does to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
    /// Only these Cloud PCs; empty: all.
    #[serde(default)]
    pub cloud_pcs: Vec<CloudPcId>,
    /// Only this share of the Cloud PCs, percent; which ones is drawn once per Cloud PC. None: all.
    #[serde(default)]
    pub share_percent: Option<u8>,
    /// Only this kind of action.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Only this step.
    #[serde(default)]
    pub step: Option<String>,
    /// Only the nth match, counted from 1. None: every one.
    #[serde(default)]
    pub nth: Option<u32>,
    /// Whether it touches doing (the default) or undoing a step.
    #[serde(default)]
    pub undo: bool,
    /// What happens.
    pub effect: Effect,
}

/// What happens to a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// It is not tried and fails for good with this code.
    Fail {
        /// For programs.
        code: String,
        /// For people.
        #[serde(default)]
        message: String,
    },
    /// It never ends by itself; its deadline does.
    Hang,
    /// It begins this much later, milliseconds.
    SlowDown {
        /// Milliseconds.
        by_ms: u64,
    },
    /// It has its effect, but the answer is lost: the outcome is not known.
    LoseOutcome,
    /// The process dies after the step has had its effect and before that is logged.
    Crash,
}

/// The rules in force.
pub struct Faults {}

impl Faults {
    /// No rules. `crash` is called by [`Effect::Crash`]; in a server it ends the process.
    pub fn new(_crash: Box<dyn Fn() + Send + Sync>) -> Self {
        unimplemented!()
    }

    /// Adds a rule; returns its number.
    pub fn add(&self, _rule: FaultRule) -> u64 {
        unimplemented!()
    }

    /// The rules by number, with how often each has matched.
    pub fn list(&self) -> Vec<(u64, FaultRule, u32)> {
        unimplemented!()
    }

    /// Drops a rule; false if there is none of this number.
    pub fn remove(&self, _number: u64) -> bool {
        unimplemented!()
    }

    /// Drops all rules.
    pub fn clear(&self) {
        unimplemented!()
    }

    /// What is to happen to this step now: the effect of the first rule that matches.
    pub(crate) fn strike(&self, _action: &Action, _step: &str, _undo: bool, _rng: &dyn Rng) -> Option<Effect> {
        unimplemented!()
    }
}

/// How much later a step begins.
pub(crate) fn delay(effect: &Effect) -> Duration {
    match effect {
        Effect::SlowDown { by_ms } => Duration::from_millis(*by_ms),
        Effect::Fail { .. } | Effect::Hang | Effect::LoseOutcome | Effect::Crash => Duration::ZERO,
    }
}
