//! Advances of actions: the events that a worker appends to their logs.

use std::sync::{Arc, mpsc};

use cloudpc_model::{Action, Actor, Event, EventKind, Params, Power, State, Timestamp};
use cloudpc_store::{Advance, Store, StoreError, WriteMode, testing};

use crate::fixture::{MACHINE, TENANT, block_on, claim, finished, open_sql, reboot, started};

const MODES: [WriteMode; 3] = [WriteMode::Grouped, WriteMode::Inline, WriteMode::InlineTwice];

/// Returns an advance by one event.
fn advance(before: &Action, at: i64, kind: EventKind) -> Advance {
    let event = Event { at: Timestamp(at), epoch: before.epoch, kind };
    let mut action = before.clone();
    action.apply(&event).unwrap();
    Advance { action: Arc::new(action), events: vec![event], power: None }
}

/// Accepts an action on each of several machines and claims them all.
async fn claimed(store: &Store, count: usize) -> Vec<Action> {
    let accept_and_claim = move |tx: &mut cloudpc_store::Tx<'_>| {
        for number in 0..count {
            tx.action_insert(&reboot(&format!("machine {number}"), 10))?;
        }
        claim(tx, 20, 50, count)
    };
    store.write("test.write", accept_and_claim).await.unwrap()
}

async fn read(store: &Store, action: &Action) -> Action {
    let id = action.id;
    let found: Result<_, StoreError> = store.read(move |reader| reader.action(TENANT, id)).await;
    found.unwrap().unwrap()
}

#[test]
fn an_advance_is_refused_if_the_log_has_grown_or_another_worker_has_the_action() {
    for mode in MODES {
        let directory = tempfile::tempdir().unwrap();
        let store = testing::open(directory.path(), mode).unwrap();
        block_on(async {
            let action = claimed(&store, 1).await.remove(0);
            let start = advance(&action, 21, started("restart"));
            store.advance(start.clone()).await.unwrap();
            assert_eq!(read(&store, &action).await, *start.action);
            let repeated = store.advance(start.clone()).await;
            assert!(matches!(repeated, Err(StoreError::Overtaken)), "{repeated:?}");

            let id = action.id;
            let cancel = move |tx: &mut cloudpc_store::Tx<'_>| {
                tx.action_append(id, 1, Timestamp(22), EventKind::CancelRequested { by: Actor::system() })
            };
            let canceled = store.write("test.write", cancel).await.unwrap();
            let succeeded = || EventKind::StepSucceeded { step: "restart".into(), message: None };
            let overtaken = store.advance(advance(&start.action, 23, succeeded())).await;
            assert!(matches!(overtaken, Err(StoreError::Overtaken)), "{overtaken:?}");
            assert_eq!(read(&store, &action).await, canceled);
            store.advance(advance(&canceled, 24, succeeded())).await.unwrap();

            let taken_over = store.write("test.write", |tx| claim(tx, 50, 90, 1)).await.unwrap().remove(0);
            let lost = store.advance(advance(&canceled, 51, succeeded())).await;
            assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
            assert_eq!(read(&store, &action).await, taken_over);
        });
    }
}

#[test]
fn an_advance_that_fails_takes_none_of_its_neighbours_down() {
    for mode in MODES {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), mode).unwrap();
        block_on(async {
            let actions = claimed(&store, 4).await;
            // The log of the second already has the event that it is about to get, so its advance
            // fails after it has changed the row. The third is overtaken before it changes
            // anything.
            let rogue = format!("INSERT INTO action_events VALUES ({}, 3, 1, 1, '{{}}')", actions[1].id);
            open_sql(directory.path()).execute(&rogue, []).unwrap();
            let mut advances = actions.iter().map(|action| advance(action, 21, started("restart")));
            let mut next = || advances.next().unwrap();
            let (first, second, third, fourth) = (next(), next(), next(), next());
            store.advance(third.clone()).await.unwrap();

            // All are in the queue before the writer takes the first of them.
            let (release, held) = mpsc::channel::<()>();
            let held = std::sync::Mutex::new(held);
            // Every run of the closure that holds the writer takes one.
            for _ in 0..if mode == WriteMode::Grouped { 0 } else { 2 } {
                release.send(()).unwrap();
            }
            let (hold, first, second, third, fourth, ()) = tokio::join!(
                store.write("test.hold", move |_| held.lock().unwrap().recv().map_err(|_| StoreError::Closed)),
                store.advance(first),
                store.advance(second),
                store.advance(third),
                store.advance(fourth),
                async { (0..2).for_each(|_| release.send(()).unwrap_or_default()) },
            );
            hold.unwrap();
            first.unwrap();
            fourth.unwrap();
            assert!(matches!(second, Err(StoreError::Database(_))), "{second:?}");
            assert!(matches!(third, Err(StoreError::Overtaken)), "{third:?}");
            let events = open_sql(directory.path())
                .prepare("SELECT events FROM actions ORDER BY id")
                .unwrap()
                .query_map([], |row| row.get::<_, u32>(0))
                .unwrap()
                .collect::<Result<Vec<_>, _>>()
                .unwrap();
            assert_eq!(events, [3, 2, 3, 3]);
        });
    }
}

#[test]
fn the_steps_of_an_action_are_in_its_log_until_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), WriteMode::InlineTwice).unwrap();
    let steps = || -> String {
        open_sql(directory.path()).query_row("SELECT steps FROM actions", [], |row| row.get(0)).unwrap()
    };
    block_on(async {
        let action = claimed(&store, 1).await.remove(0);
        let start = advance(&action, 21, started("restart"));
        store.advance(start.clone()).await.unwrap();
        assert_eq!((steps(), read(&store, &action).await.steps.len()), ("[]".into(), 1));
        let end = advance(&start.action, 22, finished(State::Done));
        store.advance(end.clone()).await.unwrap();
        assert_eq!(read(&store, &action).await, *end.action);
        assert_ne!(steps(), "[]");
    });
}

/// The end of a step and the start of the next are one row, as are a claim and the first start.
#[test]
fn events_of_one_time_are_one_row_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), WriteMode::InlineTwice).unwrap();
    let rows = || -> i64 {
        open_sql(directory.path()).query_row("SELECT count(*) FROM action_events", [], |row| row.get(0)).unwrap()
    };
    block_on(async {
        let action = claimed(&store, 1).await.remove(0);
        let start = advance(&action, 21, started("checkPower"));
        store.advance(start.clone()).await.unwrap();
        let succeeded = EventKind::StepSucceeded { step: "checkPower".into(), message: Some("on".into()) };
        let succeeded = advance(&start.action, 22, succeeded);
        let next = advance(&succeeded.action, 22, started("restart"));
        let later = advance(&next.action, 23, finished(State::Failed));
        let rows_before = rows();
        let events = [succeeded.events, next.events, later.events.clone()].concat();
        store.advance(Advance { events: events.clone(), ..later.clone() }).await.unwrap();
        assert_eq!(rows(), rows_before + 2, "two times");
        let id = action.id;
        let logged: Result<_, StoreError> = store.read(move |reader| reader.action_events(id)).await;
        let logged = logged.unwrap();
        assert_eq!(logged[logged.len() - 3..], events);
        assert_eq!(u32::try_from(logged.len()).unwrap(), later.action.events);
        assert_eq!(read(&store, &action).await, *later.action);
    });
}

#[test]
fn an_advance_stores_the_power_state_of_its_cloud_pc() {
    let directory = tempfile::tempdir().unwrap();
    let store = testing::open(directory.path(), WriteMode::InlineTwice).unwrap();
    block_on(async {
        let cloud_pc = crate::fixture::cloud_pc(TENANT, 0xa1, 1);
        let id = cloud_pc.id;
        let new = crate::fixture::action(MACHINE, Params::PowerOff, 10);
        let set_up = move |tx: &mut cloudpc_store::Tx<'_>| {
            tx.cloud_pc_insert(&cloud_pc)?;
            tx.action_insert(&new)?;
            claim(tx, 20, 50, 1)
        };
        let action = store.write("test.write", set_up).await.unwrap().remove(0);
        let stopped = Advance { power: Some(Power::PoweredOff), ..advance(&action, 21, started("stop")) };
        store.advance(stopped).await.unwrap();
        let found: Result<_, StoreError> = store.read(move |reader| reader.cloud_pc(TENANT, id)).await;
        let found = found.unwrap().unwrap();
        assert_eq!((found.power_observed, found.modified_at), (Power::PoweredOff, Timestamp(21)));
    });
}
