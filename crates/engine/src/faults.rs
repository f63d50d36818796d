//! Scripted faults for simulated fleets and tests: rules that change the outcome of a step.
//!
//! Rules live in memory. They are lost when the process ends, so a rule that crashes the process
//! applies once.

use cloudpc_model::{Action, CloudPcId, Kind, Rng, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A rule: which steps it matches, and its effect on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
    /// Tenant whose actions match; none: all tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Cloud PCs that match; empty: all.
    #[serde(default)]
    pub cloud_pcs: Vec<CloudPcId>,
    /// Share of Cloud PCs that match, percent, drawn once per Cloud PC; none: all.
    #[serde(default)]
    pub share_percent: Option<u8>,
    /// Kind of action that matches; none: all.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Step that matches; none: all.
    #[serde(default)]
    pub step: Option<String>,
    /// Ordinal of the only match that takes effect, counted from 1; none: every match.
    #[serde(default)]
    pub nth: Option<u32>,
    /// Whether the rule matches undoing a step instead of performing it.
    #[serde(default)]
    pub undo: bool,
    /// Effect on a matching step.
    pub effect: Effect,
}

/// Effect of a rule on a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// The step is not attempted and fails permanently.
    Fail {
        /// Error code.
        code: String,
        /// Error message.
        #[serde(default)]
        message: String,
    },
    /// The step hangs until its timeout.
    Hang,
    /// The step starts after a delay.
    SlowDown {
        /// Delay, milliseconds.
        by_ms: u64,
    },
    /// The step takes effect, but its result is lost: the outcome is unknown.
    LoseOutcome,
    /// The process crashes after the step has taken effect and before the result is logged.
    Crash,
}

/// Set of active rules.
pub struct Faults {
    crash: Box<dyn Fn() + Send + Sync>,
    rules: Mutex<Rules>,
}

#[derive(Default)]
struct Rules {
    added: u64,
    by_number: BTreeMap<u64, Rule>,
}

struct Rule {
    rule: FaultRule,
    /// Whether the rule is active; false while it is only proposed.
    in_force: bool,
    matched: u32,
    /// Whether each Cloud PC is in the rule's share, drawn at its first match.
    share: BTreeMap<CloudPcId, bool>,
}

impl Faults {
    /// Creates an empty set. [`Effect::Crash`] calls `crash`, which ends the process in a server.
    pub fn new(crash: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { crash, rules: Mutex::default() }
    }

    /// Adds an active rule; returns its number.
    pub fn add(&self, rule: FaultRule) -> u64 {
        self.rules().insert(rule, true)
    }

    /// Adds an inactive rule; returns its number, or none if its tenant already has `rules_max`
    /// rules. Rules for all tenants are counted separately.
    pub fn propose(&self, rule: FaultRule, rules_max: usize) -> Option<u64> {
        let mut rules = self.rules();
        let count = rules.by_number.values().filter(|other| other.rule.tenant_id == rule.tenant_id).count();
        (count < rules_max).then(|| rules.insert(rule, false))
    }

    /// Activates a proposed rule.
    pub fn put_in_force(&self, number: u64) {
        if let Some(rule) = self.rules().by_number.get_mut(&number) {
            rule.in_force = true;
        }
    }

    /// Returns the active rules with their numbers and match counts.
    pub fn list(&self) -> Vec<(u64, FaultRule, u32)> {
        let rules = self.rules();
        let in_force = rules.by_number.iter().filter(|(_, rule)| rule.in_force);
        in_force.map(|(number, rule)| (*number, rule.rule.clone(), rule.matched)).collect()
    }

    /// Removes a rule; returns false if the number is unknown.
    pub fn remove(&self, number: u64) -> bool {
        self.rules().by_number.remove(&number).is_some()
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.rules().by_number.clear();
    }

    /// Returns the effect of the first active rule that matches this step.
    pub(crate) fn effect_on(&self, action: &Action, step: &str, undo: bool, rng: &dyn Rng) -> Option<Effect> {
        let mut rules = self.rules();
        let (number, effect) = rules.by_number.iter_mut().find_map(|(number, rule)| {
            rule.matches(action, step, undo, rng).then(|| (*number, rule.rule.effect.clone()))
        })?;
        if effect == Effect::Crash {
            rules.by_number.remove(&number);
        }
        Some(effect)
    }

    /// Calls the crash function given to [`Faults::new`].
    pub(crate) fn crash(&self) {
        (self.crash)();
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rules {
    fn insert(&mut self, rule: FaultRule, in_force: bool) -> u64 {
        self.added += 1;
        self.by_number.insert(self.added, Rule { rule, in_force, matched: 0, share: BTreeMap::new() });
        self.added
    }
}

impl Rule {
    fn matches(&mut self, action: &Action, step: &str, undo: bool, rng: &dyn Rng) -> bool {
        let rule = &self.rule;
        let cloud_pc = action.cloud_pc_id();
        let named = rule.cloud_pcs.is_empty() || cloud_pc.is_some_and(|id| rule.cloud_pcs.contains(&id));
        let is_match = self.in_force
            && named
            && rule.tenant_id.is_none_or(|only| only == action.tenant_id)
            && rule.undo == undo
            && rule.kind.is_none_or(|kind| kind == action.kind())
            && rule.step.as_deref().is_none_or(|wanted| wanted == step);
        if !is_match || !self.is_in_share(cloud_pc, rng) {
            return false;
        }
        self.matched += 1;
        self.rule.nth.is_none_or(|nth| nth == self.matched)
    }

    fn is_in_share(&mut self, cloud_pc: Option<CloudPcId>, rng: &dyn Rng) -> bool {
        match (self.rule.share_percent, cloud_pc) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(percent), Some(id)) => *self.share.entry(id).or_insert_with(|| rng.below(100) < u64::from(percent)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_model::{ActionId, Actor, Params, SeededRng, State, TenantId, Timestamp};

    fn rule(effect: Effect) -> FaultRule {
        FaultRule {
            tenant_id: None,
            cloud_pcs: vec![],
            share_percent: None,
            kind: None,
            step: None,
            nth: None,
            undo: false,
            effect,
        }
    }

    fn action(on: CloudPcId) -> Action {
        Action {
            id: ActionId(1),
            tag_nonce: None,
            tenant_id: TenantId(on.0),
            target: on.to_string(),
            params: Params::Reboot,
            requested_by: Actor::system(),
            bulk_action_id: None,
            requested_at: Timestamp(0),
            deadline_at: Timestamp(1),
            state: State::Running,
            epoch: 1,
            started_at: None,
            updated_at: Timestamp(0),
            cancel_requested_at: None,
            outcome: None,
            steps: vec![],
            events: 1,
        }
    }

    #[test]
    fn rule_matches_only_what_it_names() {
        let rng = SeededRng::new(1);
        let (here, there) = (CloudPcId::random(&rng), CloudPcId::random(&rng));
        let faults = Faults::new(Box::new(|| {}));
        let number = faults.add(FaultRule {
            cloud_pcs: vec![here],
            kind: Some(Kind::Reboot),
            step: Some("restart".into()),
            nth: Some(2),
            ..rule(Effect::Hang)
        });
        let effect_on = |id, step, undo| faults.effect_on(&action(id), step, undo, &rng);
        assert_eq!(effect_on(there, "restart", false), None);
        assert_eq!(effect_on(here, "waitForGuest", false), None);
        assert_eq!(effect_on(here, "restart", true), None);
        assert_eq!(faults.list()[0].2, 0);
        assert_eq!(effect_on(here, "restart", false), None, "the first match");
        assert_eq!(effect_on(here, "restart", false), Some(Effect::Hang), "the second");
        assert_eq!(effect_on(here, "restart", false), None, "the third");
        assert_eq!(faults.list()[0].2, 3);
        assert!(faults.remove(number) && !faults.remove(number));
    }

    #[test]
    fn proposed_rule_counts_but_has_no_effect() {
        let rng = SeededRng::new(1);
        let (ours, theirs) = (action(CloudPcId::random(&rng)), action(CloudPcId::random(&rng)));
        let faults = Faults::new(Box::new(|| {}));
        let of = |action: &Action| FaultRule { tenant_id: Some(action.tenant_id), ..rule(Effect::Hang) };
        let number = faults.propose(of(&ours), 1).unwrap();
        assert_eq!(faults.propose(of(&ours), 1), None);
        assert!(faults.propose(of(&theirs), 1).is_some(), "the limit is per tenant");
        assert_eq!((faults.list(), faults.effect_on(&ours, "restart", false, &rng)), (vec![], None));
        faults.put_in_force(number);
        assert_eq!(faults.effect_on(&ours, "restart", false, &rng), Some(Effect::Hang));
    }

    #[test]
    fn rule_of_a_tenant_does_not_match_other_tenants() {
        let rng = SeededRng::new(1);
        let (ours, theirs) = (action(CloudPcId::random(&rng)), action(CloudPcId::random(&rng)));
        let faults = Faults::new(Box::new(|| {}));
        faults.add(FaultRule { tenant_id: Some(ours.tenant_id), ..rule(Effect::Hang) });
        assert_eq!(faults.effect_on(&theirs, "restart", false, &rng), None);
        assert_eq!(faults.effect_on(&ours, "restart", false, &rng), Some(Effect::Hang));
    }

    #[test]
    fn share_is_drawn_once_per_cloud_pc() {
        let rng = SeededRng::new(3);
        let ids: Vec<_> = (0..200).map(|_| CloudPcId::random(&rng)).collect();
        let faults = Faults::new(Box::new(|| {}));
        faults.add(FaultRule { share_percent: Some(30), ..rule(Effect::Hang) });
        let draw = || -> Vec<bool> {
            ids.iter().map(|id| faults.effect_on(&action(*id), "restart", false, &rng).is_some()).collect()
        };
        let first = draw();
        assert_eq!(first, draw());
        assert!((40..=80).contains(&first.iter().filter(|hit| **hit).count()));
    }

    #[test]
    fn crash_rule_applies_once() {
        let rng = SeededRng::new(3);
        let faults = Faults::new(Box::new(|| {}));
        faults.add(rule(Effect::Crash));
        let action = action(CloudPcId::random(&rng));
        assert_eq!(faults.effect_on(&action, "restart", false, &rng), Some(Effect::Crash));
        assert_eq!(faults.effect_on(&action, "restart", false, &rng), None);
    }
}
