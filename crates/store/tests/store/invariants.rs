//! Whatever is done in whatever order, these hold.

use cloudpc_model::{Action, ActionId, EventKind, Failure, State, Timestamp};
use cloudpc_store::{NewAction, StoreError, WorkerId};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::fixture::{Book, PARTNER, TENANT, deploy, finished, reboot, started};

#[derive(Clone, Debug)]
enum Operation {
    Insert { target: u8, remote: bool, key: Option<u8> },
    Claim { lease: i64, limit: usize },
    Append { action: prop::sample::Index, event: Outcome, stale: bool },
    Renew { worker: i64 },
    Release { action: prop::sample::Index, wait: i64 },
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Started,
    Succeeded,
    Retried,
    CancelRequested,
    UndoBegan,
    UndoFailed,
    Settled,
    Done,
    Canceled,
}

fn deeds() -> impl Strategy<Value = Vec<Operation>> {
    let said = prop_oneof![
        3 => Just(Outcome::Started),
        2 => Just(Outcome::Succeeded),
        1 => Just(Outcome::Retried),
        1 => Just(Outcome::CancelRequested),
        2 => Just(Outcome::UndoBegan),
        1 => Just(Outcome::UndoFailed),
        1 => Just(Outcome::Settled),
        4 => Just(Outcome::Done),
        2 => Just(Outcome::Canceled),
    ];
    let deed = prop_oneof![
        4 => (0..4_u8, any::<bool>(), prop::option::weighted(0.2, 0..4_u8))
            .prop_map(|(target, remote, key)| Operation::Insert { target, remote, key }),
        3 => (1..30_i64, 1..4_usize).prop_map(|(lease, limit)| Operation::Claim { lease, limit }),
        8 => (any::<prop::sample::Index>(), said, prop::bool::weighted(0.1))
            .prop_map(|(action, event, stale)| Operation::Append { action, event, stale }),
        1 => (1..10_i64).prop_map(|worker| Operation::Renew { worker }),
        1 => (any::<prop::sample::Index>(), 0..20_i64).prop_map(|(action, wait)| Operation::Release { action, wait }),
        1 => Just(Operation::Restart),
    ];
    prop::collection::vec(deed, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn one_runs_per_machine_lines_are_in_order_and_counters_are_true(deeds in deeds()) {
        let book = Book::in_file();
        let sql = book.sql();
        let mut ids: Vec<ActionId> = Vec::new();
        for (now, deed) in (1_i64..).map(|tick| tick * 10).zip(deeds) {
            do_it(&book, &mut ids, now, deed);
            check(&book, &sql);
        }
        for id in ids {
            check_fold(&book, &sql, id);
        }
    }
}

fn do_it(book: &Book, ids: &mut Vec<ActionId>, now: i64, deed: Operation) {
    // Refusals are part of the story; anything else is not.
    let allowed = |error: StoreError| match error {
        StoreError::LeaseLost | StoreError::IllegalEvent(_) | StoreError::Exists(_) => {}
        other => panic!("{other}"),
    };
    let pick = |ids: &[ActionId], index: prop::sample::Index| (!ids.is_empty()).then(|| book.action(*index.get(ids)));
    match deed {
        Operation::Insert { target, remote, key } => {
            let target = format!("machine {target}");
            let new = if remote { reboot(&target, now) } else { deploy(&target, now) };
            let key = key.map(|key| format!("{key} {remote}"));
            match book.insert(NewAction { idempotency_key: key, ..new }) {
                Ok(id) if !ids.contains(&id) => ids.push(id),
                Ok(_) => {}
                Err(error) => allowed(error),
            }
        }
        Operation::Claim { lease, limit } => {
            let before = ids.iter().map(|id| (*id, book.action(*id).epoch)).collect::<Vec<_>>();
            let claimed = book.claim_up_to(now, now + lease, limit);
            assert!(claimed.len() <= limit);
            for action in claimed {
                assert!(before.contains(&(action.id, action.epoch - 1)));
                assert_eq!(action, book.action(action.id));
            }
        }
        Operation::Append { action, event, stale } => {
            let Some(action) = pick(ids, action) else { return };
            let epoch = action.epoch - i64::from(stale);
            match book.append(action.id, epoch, now, event_kind(event)) {
                Ok(after) => assert!(!stale && after == book.action(action.id)),
                Err(error) => {
                    assert!(!stale || matches!(error, StoreError::LeaseLost));
                    allowed(error);
                    assert_eq!(action, book.action(action.id));
                }
            }
        }
        Operation::Renew { worker } => {
            book.write(move |tx| tx.worker_renew(WorkerId(worker), Timestamp(now + 30))).unwrap_or_else(allowed);
        }
        Operation::Release { action, wait } => {
            let Some(Action { id, epoch, .. }) = pick(ids, action) else { return };
            book.write(move |tx| tx.action_release(id, epoch, Timestamp(now + wait))).unwrap_or_else(allowed);
        }
        Operation::Restart => book.write(|tx| tx.worker_expire_all()).unwrap(),
    }
}

fn event_kind(said: Outcome) -> EventKind {
    let step = "step".to_owned();
    let failure = Failure { code: "code".into(), message: "message".into() };
    match said {
        Outcome::Started => started(&step),
        Outcome::Succeeded => EventKind::StepSucceeded { step, message: None },
        Outcome::Retried => EventKind::StepRetried { step, message: "again".into(), due_at: Timestamp(7) },
        Outcome::CancelRequested => EventKind::CancelRequested { by: cloudpc_model::Actor::system() },
        Outcome::UndoBegan => EventKind::UndoBegan { outcome: State::Failed, failure: Some(failure) },
        Outcome::UndoFailed => EventKind::UndoFailed { step, failure },
        Outcome::Settled => EventKind::Settled { by: cloudpc_model::Actor::system() },
        Outcome::Done => finished(State::Done),
        Outcome::Canceled => finished(State::Canceled),
    }
}

/// Each query finds what must not be.
fn check(book: &Book, sql: &Connection) {
    const NEVER: &[(&str, &str)] = &[
        (
            "the front is the first open action of each line, and only that",
            "SELECT id FROM actions AS a WHERE at_front <> (open = 1 AND NOT EXISTS
             (SELECT 1 FROM actions AS b WHERE b.line_id = a.line_id AND b.open = 1 AND b.id < a.id))",
        ),
        (
            "one runs on a machine",
            "SELECT line_id FROM actions WHERE state IN ('running', 'undoing', 'stuck') GROUP BY line_id HAVING count(*) > 1",
        ),
        (
            "only the front runs",
            "SELECT id FROM actions WHERE state IN ('running', 'undoing', 'stuck') AND at_front = 0",
        ),
        (
            "one open remote action on a machine",
            "SELECT line_id FROM actions WHERE remote = 1 AND open = 1 GROUP BY line_id HAVING count(*) > 1",
        ),
        (
            "an open action can be claimed some day or has a worker, unless it is stuck",
            "SELECT id FROM actions WHERE (claim_at IS NOT NULL) + (worker_id <> 0) <> (open = 1 AND state <> 'stuck')",
        ),
        (
            "the worker of an action has a lease",
            "SELECT id FROM actions WHERE worker_id <> 0 AND worker_id NOT IN (SELECT id FROM workers)",
        ),
        (
            "results say what actions say",
            "SELECT a.id FROM actions AS a LEFT JOIN deployments AS d ON d.action_id = a.id WHERE a.remote = 0
             AND (d.state, d.at_front, d.target, d.line_id) IS NOT (a.state, a.at_front, a.target, a.line_id)",
        ),
        (
            "remote actions have no result row",
            "SELECT a.id FROM actions AS a JOIN deployments AS d ON d.action_id = a.id WHERE a.remote = 1",
        ),
        (
            "the partner's total is the recount",
            "SELECT partner_id FROM partner_totals AS t WHERE deployments <>
             (SELECT count(*) FROM deployments AS d WHERE d.tenant_id = t.tenant_id AND d.partner_id = t.partner_id)",
        ),
        (
            "the activity's total and stretch are the recount",
            "SELECT id FROM activities AS t WHERE (deployments, first_action_id, last_action_id) IS NOT
             (SELECT count(*), min(action_id), max(action_id) FROM deployments AS d
              WHERE d.tenant_id = t.tenant_id AND d.activity_id = t.id)",
        ),
        (
            "the log is as long as the action says, without the acceptance",
            "SELECT id FROM actions AS a WHERE (events - 1, events) IS NOT
             (SELECT count(*), coalesce(max(number), 1) FROM action_events AS e WHERE e.action_id = a.id)",
        ),
    ];
    for (what, query) in NEVER {
        let broken = sql.prepare_cached(query).unwrap().exists([]).unwrap();
        assert!(!broken, "{what}");
    }
    let counted = book.read(|reader| {
        Ok((reader.action_open_count()?, reader.deployment_count(TENANT, PARTNER, &Default::default())?))
    });
    let count = |query: &str| sql.query_row(query, [], |row| row.get::<_, u32>(0)).unwrap();
    let recount =
        (count("SELECT count(*) FROM actions WHERE open = 1"), count("SELECT count(*) FROM actions WHERE remote = 0"));
    assert_eq!(counted, (recount.0.into(), recount.1.into()));
}

/// An action is what its log says, from the first event on, and stands where its number says.
fn check_fold(book: &Book, sql: &Connection, id: ActionId) {
    let action = book.action(id);
    let mut folded = action.without_events();
    for event in book.read(move |reader| reader.action_events(id)) {
        folded.apply(&event).unwrap();
    }
    assert_eq!(folded, action);

    let asked = action.clone();
    let place = book.read(move |reader| reader.action_place(&asked));
    let ahead: u32 = sql
        .query_row(
            "SELECT count(*) FROM actions AS a JOIN actions AS b ON b.line_id = a.line_id AND b.id < a.id
             WHERE a.id = ?1 AND a.open = 1 AND b.open = 1",
            [id.0],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(place.ahead, u64::from(ahead));
    assert_eq!(place.behind.is_some(), ahead > 0);
}
