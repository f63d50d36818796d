//! Scripted trouble for simulated fleets and for tests: rules that change what happens to a step.
//!
//! A rule lives in this process and is gone with it, so a rule that crashes the process acts once.

use cloudpc_model::{Action, CloudPcId, Kind, Rng, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which steps a rule touches, and what it does to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
    /// Only actions of this tenant. None: of all tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
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
    /// False for one that is only proposed.
    in_force: bool,
    matched: u32,
    /// Which Cloud PCs are in its share, drawn when each is first seen.
    share: BTreeMap<CloudPcId, bool>,
}

impl Faults {
    /// No rules. `crash` is called by [`Effect::Crash`]; in a server it ends the process.
    pub fn new(crash: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { crash, rules: Mutex::default() }
    }

    /// Adds a rule; returns its number.
    pub fn add(&self, rule: FaultRule) -> u64 {
        self.rules().insert(rule, true)
    }

    /// Takes a rule that touches nothing until it is put in force; returns its number. None: its
    /// tenant has `rules_max` rules already; those of all tenants together are counted by
    /// themselves.
    pub fn propose(&self, rule: FaultRule, rules_max: usize) -> Option<u64> {
        let mut rules = self.rules();
        let count = rules.by_number.values().filter(|other| other.rule.tenant_id == rule.tenant_id).count();
        (count < rules_max).then(|| rules.insert(rule, false))
    }

    /// Puts a proposed rule in force.
    pub fn put_in_force(&self, number: u64) {
        if let Some(rule) = self.rules().by_number.get_mut(&number) {
            rule.in_force = true;
        }
    }

    /// The rules in force by number, with how often each has matched.
    pub fn list(&self) -> Vec<(u64, FaultRule, u32)> {
        let rules = self.rules();
        let in_force = rules.by_number.iter().filter(|(_, rule)| rule.in_force);
        in_force.map(|(number, rule)| (*number, rule.rule.clone(), rule.matched)).collect()
    }

    /// Drops a rule; false if there is none of this number.
    pub fn remove(&self, number: u64) -> bool {
        self.rules().by_number.remove(&number).is_some()
    }

    /// Drops all rules.
    pub fn clear(&self) {
        self.rules().by_number.clear();
    }

    /// What is to happen to this step now: the effect of the first rule that matches.
    pub(crate) fn strike(&self, action: &Action, step: &str, undo: bool, rng: &dyn Rng) -> Option<Effect> {
        let mut rules = self.rules();
        let (number, effect) = rules.by_number.iter_mut().find_map(|(number, rule)| {
            rule.strikes(action, step, undo, rng).then(|| (*number, rule.rule.effect.clone()))
        })?;
        if effect == Effect::Crash {
            rules.by_number.remove(&number);
        }
        Some(effect)
    }

    /// Ends the process, if that is what was given to [`Faults::new`].
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
    fn strikes(&mut self, action: &Action, step: &str, undo: bool, rng: &dyn Rng) -> bool {
        let rule = &self.rule;
        let cloud_pc = action.cloud_pc_id();
        let named = rule.cloud_pcs.is_empty() || cloud_pc.is_some_and(|id| rule.cloud_pcs.contains(&id));
        let fits = self.in_force
            && named
            && rule.tenant_id.is_none_or(|only| only == action.tenant_id)
            && rule.undo == undo
            && rule.kind.is_none_or(|kind| kind == action.kind())
            && rule.step.as_deref().is_none_or(|wanted| wanted == step);
        if !fits || !self.shares(cloud_pc, rng) {
            return false;
        }
        self.matched += 1;
        self.rule.nth.is_none_or(|nth| nth == self.matched)
    }

    fn shares(&mut self, cloud_pc: Option<CloudPcId>, rng: &dyn Rng) -> bool {
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
    fn a_rule_touches_what_it_names_and_no_more() {
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
        let strike = |id, step, undo| faults.strike(&action(id), step, undo, &rng);
        assert_eq!(strike(there, "restart", false), None);
        assert_eq!(strike(here, "waitForGuest", false), None);
        assert_eq!(strike(here, "restart", true), None);
        assert_eq!(faults.list()[0].2, 0);
        assert_eq!(strike(here, "restart", false), None, "the first match");
        assert_eq!(strike(here, "restart", false), Some(Effect::Hang), "the second");
        assert_eq!(strike(here, "restart", false), None, "the third");
        assert_eq!(faults.list()[0].2, 3);
        assert!(faults.remove(number) && !faults.remove(number));
    }

    #[test]
    fn a_proposed_rule_is_counted_and_touches_nothing() {
        let rng = SeededRng::new(1);
        let (ours, theirs) = (action(CloudPcId::random(&rng)), action(CloudPcId::random(&rng)));
        let faults = Faults::new(Box::new(|| {}));
        let of = |action: &Action| FaultRule { tenant_id: Some(action.tenant_id), ..rule(Effect::Hang) };
        let number = faults.propose(of(&ours), 1).unwrap();
        assert_eq!(faults.propose(of(&ours), 1), None);
        assert!(faults.propose(of(&theirs), 1).is_some(), "each tenant has its own");
        assert_eq!((faults.list(), faults.strike(&ours, "restart", false, &rng)), (vec![], None));
        faults.put_in_force(number);
        assert_eq!(faults.strike(&ours, "restart", false, &rng), Some(Effect::Hang));
    }

    #[test]
    fn a_rule_of_a_tenant_touches_no_other_tenant() {
        let rng = SeededRng::new(1);
        let (ours, theirs) = (action(CloudPcId::random(&rng)), action(CloudPcId::random(&rng)));
        let faults = Faults::new(Box::new(|| {}));
        faults.add(FaultRule { tenant_id: Some(ours.tenant_id), ..rule(Effect::Hang) });
        assert_eq!(faults.strike(&theirs, "restart", false, &rng), None);
        assert_eq!(faults.strike(&ours, "restart", false, &rng), Some(Effect::Hang));
    }

    #[test]
    fn a_share_is_drawn_once_per_cloud_pc() {
        let rng = SeededRng::new(3);
        let ids: Vec<_> = (0..200).map(|_| CloudPcId::random(&rng)).collect();
        let faults = Faults::new(Box::new(|| {}));
        faults.add(FaultRule { share_percent: Some(30), ..rule(Effect::Hang) });
        let draw = || -> Vec<bool> {
            ids.iter().map(|id| faults.strike(&action(*id), "restart", false, &rng).is_some()).collect()
        };
        let first = draw();
        assert_eq!(first, draw());
        assert!((40..=80).contains(&first.iter().filter(|hit| **hit).count()));
    }

    #[test]
    fn a_crash_acts_once() {
        let rng = SeededRng::new(3);
        let faults = Faults::new(Box::new(|| {}));
        faults.add(rule(Effect::Crash));
        let action = action(CloudPcId::random(&rng));
        assert_eq!(faults.strike(&action, "restart", false, &rng), Some(Effect::Crash));
        assert_eq!(faults.strike(&action, "restart", false, &rng), None);
    }
}
