//! Actions: accepted, claimed, carried to an end, one at a time on each machine.

use cloudpc_model::{Action, ActionId, EventKind, Failure, Params, State, Timestamp};
use cloudpc_store::{ActionFilter, NewAction, QueuePlace, StoreError, WorkerId};

use crate::fixture::{Book, MACHINE, OTHER_MACHINE, OTHER_TENANT, TENANT, block_on, deploy, finished, reboot, started};

#[test]
fn an_action_is_the_fold_of_its_log() {
    let book = Book::new();
    let id = book.insert(reboot(MACHINE, 10)).unwrap();
    assert_eq!(book.action(id).state, State::Pending);

    let claimed = book.claim(20, 100);
    assert_eq!((claimed[0].id, claimed[0].state, claimed[0].epoch), (id, State::Running, 1));
    book.append(id, 1, 21, started("restart")).unwrap();
    let retried = EventKind::StepRetried { step: "restart".into(), message: "busy".into(), due_at: Timestamp(30) };
    book.append(id, 1, 22, retried).unwrap();
    book.append(id, 1, 30, started("restart")).unwrap();
    book.append(id, 1, 31, EventKind::StepSucceeded { step: "restart".into(), message: None }).unwrap();
    let ended = book.append(id, 1, 32, finished(State::Done)).unwrap();

    assert_eq!(book.action(id), ended);
    assert_eq!((ended.state, ended.events, ended.steps[0].attempts), (State::Done, 7, 2));
    let events = book.read(move |reader| reader.action_events(id));
    let mut folded = ended.without_events();
    for event in &events {
        folded.apply(event).unwrap();
    }
    assert_eq!(folded, ended);
}

#[test]
fn a_log_cannot_be_rewritten() {
    let book = Book::in_file();
    book.insert(reboot(MACHINE, 10)).unwrap();
    book.claim(20, 100);
    let error = book.sql().execute("UPDATE action_events SET at = 0", []).unwrap_err();
    assert_eq!(error.to_string(), "the log of an action is append-only");
}

/// As earlier versions logged it.
#[test]
fn an_acceptance_that_is_in_the_log_is_read_once() {
    let book = Book::in_file();
    let id = book.insert(reboot(MACHINE, 10)).unwrap();
    book.claim(20, 100);
    let events = || book.read(move |reader| reader.action_events(id));
    let derived = events();
    assert_eq!((derived.len(), &derived[0].kind, derived[0].at), (2, &EventKind::Accepted, Timestamp(10)));
    let logged = format!("INSERT INTO action_events VALUES ({id}, 1, 10, 0, '{{\"event\":\"accepted\"}}')");
    book.sql().execute(&logged, []).unwrap();
    assert_eq!(events(), derived);
}

#[test]
fn an_illegal_event_changes_nothing() {
    let book = Book::new();
    let id = book.insert(reboot(MACHINE, 10)).unwrap();
    let before = book.action(id);
    let error = book.append(id, 0, 11, started("restart")).unwrap_err();
    assert!(matches!(error, StoreError::IllegalEvent(_)), "{error}");
    assert_eq!(book.action(id), before);
    assert_eq!(book.read(move |reader| reader.action_events(id)).len(), 1);
}

#[test]
fn the_same_key_gives_the_first_action() {
    let book = Book::new();
    let with_key = |at| NewAction { idempotency_key: Some("after 7".into()), ..deploy(MACHINE, at) };
    let first = book.insert(with_key(10)).unwrap();
    assert_eq!(book.insert(with_key(20)).unwrap(), first);
    let other = NewAction { tenant_id: OTHER_TENANT, ..with_key(30) };
    assert_ne!(book.insert(other).unwrap(), first);
}

#[test]
fn a_line_moves_up_when_its_front_ends() {
    let book = Book::new();
    let place = |id| {
        let action = book.action(id);
        book.read(move |reader| reader.action_place(&action))
    };
    let first = book.insert(deploy(MACHINE, 10)).unwrap();
    let second = book.insert(reboot(MACHINE, 11)).unwrap();
    let third = book.insert(deploy(MACHINE, 12)).unwrap();
    let elsewhere = book.insert(reboot(OTHER_MACHINE, 13)).unwrap();
    assert_eq!(place(first), QueuePlace { ahead: 0, behind: None });
    assert_eq!(place(second), QueuePlace { ahead: 1, behind: Some(first) });
    assert_eq!(place(third), QueuePlace { ahead: 2, behind: Some(first) });

    let claimed = book.claim(20, 100);
    assert_eq!(claimed.iter().map(|action| action.id).collect::<Vec<_>>(), [first, elsewhere]);
    assert_eq!(book.claim(21, 100), []);

    // One that leaves the line from its middle frees no one.
    book.append(second, 0, 22, finished(State::Canceled)).unwrap();
    assert_eq!(place(third), QueuePlace { ahead: 1, behind: Some(first) });
    assert_eq!(book.claim(23, 100), []);

    book.append(first, 1, 24, finished(State::Done)).unwrap();
    assert_eq!(place(first), QueuePlace { ahead: 0, behind: None });
    assert_eq!(place(third), QueuePlace { ahead: 0, behind: None });
    assert_eq!(book.claim(25, 100)[0].id, third);
}

#[test]
fn one_machine_has_one_line_however_it_is_spelled() {
    let book = Book::new();
    book.insert(deploy("00000000-0000-0000-0000-00000000ABCD", 10)).unwrap();
    book.insert(deploy("{00000000-0000-0000-0000-00000000abcd}", 11)).unwrap();
    book.insert(deploy("0000000000000000000000000000abcd", 12)).unwrap();
    assert_eq!(book.claim(20, 100).len(), 1);
    let listed = book
        .read(|reader| reader.action_list(TENANT, "00000000-0000-0000-0000-00000000abcd", ActionFilter::All, None, 10));
    assert_eq!(listed[0].target, "0000000000000000000000000000abcd", "the target stays as the caller wrote it");
    assert_eq!(listed.len(), 3);
}

#[test]
fn a_second_open_remote_action_is_refused() {
    let book = Book::new();
    let open = |book: &Book| book.read(|reader| reader.action_open_remote(TENANT, MACHINE)).map(|action| action.id);
    book.insert(deploy(MACHINE, 9)).unwrap();
    assert_eq!(open(&book), None);
    let first = book.insert(reboot(MACHINE, 10)).unwrap();
    assert_eq!(open(&book), Some(first));
    let error = book.insert(reboot(MACHINE, 11)).unwrap_err();
    assert_eq!(error.to_string(), "an open remote action on this Cloud PC exists already");
    book.append(first, 0, 12, finished(State::Canceled)).unwrap();
    book.insert(reboot(MACHINE, 13)).unwrap();
}

#[test]
fn the_database_itself_holds_the_two_limits() {
    let book = Book::in_file();
    let first = book.insert(deploy(MACHINE, 10)).unwrap();
    let second = book.insert(deploy(MACHINE, 11)).unwrap();
    let sql = book.sql();
    let front = sql.execute("UPDATE actions SET at_front = 1 WHERE id = ?1", [second.0]).unwrap_err();
    assert_eq!(front.to_string(), "UNIQUE constraint failed: actions.line_id");
    let remote = sql.execute("UPDATE actions SET kind = 'reboot', remote = 1", []).unwrap_err();
    assert_eq!(remote.to_string(), "UNIQUE constraint failed: index 'actions_open'");
    let ended = sql.execute("UPDATE actions SET state = 'done', open = 0 WHERE id = ?1", [first.0]).unwrap_err();
    assert!(ended.to_string().starts_with("CHECK constraint failed"), "{ended}");
}

#[test]
fn an_expired_lease_is_claimed_again_and_its_old_holder_is_shut_out() {
    let book = Book::new();
    let id = book.insert(reboot(MACHINE, 10)).unwrap();
    assert_eq!(book.claim(20, 50)[0].epoch, 1);
    assert_eq!(book.claim(49, 90), []);
    let again = book.claim(50, 90);
    assert_eq!((again[0].id, again[0].epoch), (id, 2));

    let lost = |result: Result<(), StoreError>| matches!(result, Err(StoreError::LeaseLost));
    assert!(lost(book.append(id, 1, 51, started("restart")).map(|_| ())));
    assert!(lost(book.write(|tx| tx.worker_renew(WorkerId(1), Timestamp(200)))));
    assert!(lost(book.write(move |tx| tx.action_release(id, 1, Timestamp(60)))));
    book.append(id, 2, 52, started("restart")).unwrap();
}

#[test]
fn a_lease_can_be_renewed_and_its_actions_released() {
    let book = Book::new();
    let next_due = || book.read(|reader| reader.action_next_due());
    let expiry = |own: Option<WorkerId>| book.read(move |reader| reader.worker_next_expiry(own));
    assert_eq!(next_due(), None);
    let id = book.insert(reboot(MACHINE, 10)).unwrap();
    assert_eq!(next_due(), Some(Timestamp(10)));
    book.claim(20, 50);
    assert_eq!((next_due(), expiry(None), expiry(Some(WorkerId(1)))), (None, Some(Timestamp(50)), None));
    book.write(|tx| tx.worker_renew(WorkerId(1), Timestamp(80))).unwrap();
    assert_eq!(book.claim(79, 200), []);
    book.write(move |tx| tx.action_release(id, 1, Timestamp(300))).unwrap();
    assert_eq!((next_due(), expiry(None)), (Some(Timestamp(300)), None));
    assert_eq!(book.claim(299, 400), []);
    // Someone who changes its fate brings it forward.
    book.write(move |tx| tx.action_release(id, 1, Timestamp(250))).unwrap();
    assert_eq!(book.claim(250, 400)[0].epoch, 2);
    book.append(id, 2, 260, finished(State::Done)).unwrap();
    assert_eq!((next_due(), expiry(None)), (None, None));
    let ended = book.write(move |tx| tx.action_release(id, 2, Timestamp(300)));
    assert!(matches!(ended, Err(StoreError::LeaseLost)));
}

#[test]
fn a_lease_of_many_actions_expires_at_once_and_only_its_own() {
    let book = Book::new();
    let first = [MACHINE, OTHER_MACHINE].map(|machine| book.insert(reboot(machine, 10)).unwrap());
    assert_eq!(book.claim(20, 50).len(), 2);
    let other = book.insert(reboot("another machine", 11)).unwrap();
    assert_eq!(book.claim(21, 90)[0].id, other);
    let ids = |claimed: Vec<Action>| claimed.iter().map(|action| action.id).collect::<Vec<_>>();
    assert_eq!(ids(book.claim(50, 95)), first);
    assert_eq!(ids(book.claim(90, 99)), [other]);
}

#[test]
fn a_worker_gives_up_only_what_it_still_holds() {
    let book = Book::new();
    let id = book.insert(reboot(MACHINE, 10)).unwrap();
    book.claim(20, 50);
    let give_up = |epoch, worker: i64| {
        book.write(move |tx| tx.action_give_up(id, epoch, WorkerId(worker), Timestamp(30))).unwrap();
        book.read(|reader| reader.action_next_due())
    };
    assert_eq!((give_up(0, 1), give_up(1, 2)), (None, None));
    assert_eq!(give_up(1, 1), Some(Timestamp(30)));
}

#[test]
fn who_waits_behind_another_is_overdue_at_its_deadline() {
    let book = Book::new();
    let overdue = |now| {
        let listed = book.read(move |reader| reader.action_overdue(Timestamp(now), 10));
        listed.iter().map(|action| action.id).collect::<Vec<ActionId>>()
    };
    let next_deadline = || book.read(|reader| reader.action_next_deadline());
    let first = book.insert(NewAction { deadline_at: Timestamp(50), ..deploy(MACHINE, 10) }).unwrap();
    assert_eq!((next_deadline(), overdue(1_000)), (None, vec![]), "the first of a line is claimed instead");
    let late = book.insert(NewAction { deadline_at: Timestamp(90), ..deploy(MACHINE, 11) }).unwrap();
    let soon = book.insert(NewAction { deadline_at: Timestamp(70), ..deploy(MACHINE, 12) }).unwrap();
    assert_eq!(next_deadline(), Some(Timestamp(70)));
    assert_eq!((overdue(69), overdue(70), overdue(90)), (vec![], vec![soon], vec![soon, late]));
    book.append(soon, 0, 70, finished(State::Failed)).unwrap();
    assert_eq!(next_deadline(), Some(Timestamp(90)));
    book.append(first, 0, 71, finished(State::Canceled)).unwrap();
    assert_eq!((next_deadline(), overdue(1_000)), (None, vec![]));
}

#[test]
fn a_start_ends_every_lease_but_no_waiting() {
    let book = Book::new();
    let running = book.insert(reboot(MACHINE, 10)).unwrap();
    let waiting = book.insert(reboot(OTHER_MACHINE, 11)).unwrap();
    book.claim(20, 1_000_000);
    book.write(move |tx| tx.action_release(waiting, 1, Timestamp(500))).unwrap();
    book.write(|tx| tx.worker_expire_all()).unwrap();
    assert_eq!(book.claim(21, 100).iter().map(|action| action.id).collect::<Vec<_>>(), [running]);
}

#[test]
fn a_stuck_action_holds_its_machine_until_it_is_settled() {
    let book = Book::new();
    let failure = Failure { code: "x".into(), message: "m".into() };
    let stuck = book.insert(reboot(MACHINE, 10)).unwrap();
    let next = book.insert(deploy(MACHINE, 11)).unwrap();
    book.claim(20, 50);
    book.append(stuck, 1, 21, started("restart")).unwrap();
    let undo = EventKind::UndoBegan { outcome: State::Failed, failure: Some(failure.clone()) };
    book.append(stuck, 1, 22, undo).unwrap();
    let undo_failed = EventKind::UndoFailed { step: "restart".into(), failure };
    book.append(stuck, 1, 23, undo_failed).unwrap();
    assert_eq!(book.claim(1_000, 2_000), []);
    assert_eq!(book.read(|reader| reader.action_next_due()), None);
    assert_eq!(book.read(|reader| reader.action_open_count()), 2);
    let by = cloudpc_model::Actor::system();
    book.append(stuck, 1, 1_001, EventKind::Settled { by }).unwrap();
    assert_eq!(book.claim(1_002, 2_000)[0].id, next);
}

#[test]
fn a_machines_actions_are_listed_newest_first_by_key() {
    let book = Book::new();
    let mut ids = Vec::new();
    for at in 0..7 {
        let new = if at % 3 == 0 { reboot(MACHINE, at) } else { deploy(MACHINE, at) };
        let id = book.insert(new).unwrap();
        book.append(id, 0, at, finished(State::Canceled)).unwrap();
        ids.insert(0, id);
        book.insert(deploy(OTHER_MACHINE, at)).unwrap();
    }
    let page = |filter, before, limit| {
        let listed = book.read(move |reader| reader.action_list(TENANT, MACHINE, filter, before, limit));
        listed.iter().map(|action| action.id).collect::<Vec<ActionId>>()
    };
    assert_eq!(page(ActionFilter::All, None, 100), ids);
    assert_eq!(page(ActionFilter::All, None, 3), ids[..3]);
    assert_eq!(page(ActionFilter::All, Some(ids[2]), 3), ids[3..6]);
    assert_eq!(page(ActionFilter::Remote, None, 100), [ids[0], ids[3], ids[6]]);
    assert_eq!(page(ActionFilter::Remote, Some(ids[0]), 1), [ids[3]]);
    let counts = book.read(|reader| {
        Ok((
            reader.action_count(TENANT, MACHINE, ActionFilter::All)?,
            reader.action_count(TENANT, MACHINE, ActionFilter::Remote)?,
        ))
    });
    assert_eq!(counts, (7, 3));
}

#[test]
fn remote_actions_of_a_tenant_are_listed_by_target_in_pieces() {
    let book = Book::new();
    let machines = ["a", "b", "c", "d"];
    let mut expected = Vec::new();
    for (place, machine) in (0..).zip(machines) {
        book.insert(deploy(machine, place)).unwrap();
        for at in 0..place {
            let id = book.insert(reboot(machine, at)).unwrap();
            book.append(id, 0, at, finished(State::Canceled)).unwrap();
            expected.push(id);
        }
    }
    for limit in 1..9 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let from = after.clone();
            let (actions, next) = book.read(move |reader| reader.action_list_remote(TENANT, from.as_ref(), limit));
            assert!(actions.len() <= limit);
            found.extend(actions.iter().map(|action| action.id));
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{limit} at a time");
    }
    assert_eq!(book.read(|reader| reader.action_list_remote(OTHER_TENANT, None, 9)), (vec![], None));
}

#[test]
fn another_tenant_sees_nothing() {
    let book = Book::new();
    let id = book.insert(reboot(MACHINE, 10)).unwrap();
    let seen = block_on(book.store.read(move |reader| {
        Ok::<_, StoreError>((
            reader.action(OTHER_TENANT, id)?,
            reader.action_list(OTHER_TENANT, MACHINE, ActionFilter::All, None, 10)?,
            reader.action_count(OTHER_TENANT, MACHINE, ActionFilter::All)?,
            reader.action_open_remote(OTHER_TENANT, MACHINE)?,
        ))
    }));
    assert_eq!(seen.unwrap(), (None, Vec::new(), 0, None));
    // The same name in another tenant is another machine.
    book.insert(NewAction { tenant_id: OTHER_TENANT, ..reboot(MACHINE, 11) }).unwrap();
    assert_eq!(book.claim(20, 50).len(), 2);
}

#[test]
fn a_claim_takes_the_oldest_due_first_and_no_more_than_asked() {
    let book = Book::new();
    let late = book.insert(reboot(MACHINE, 12)).unwrap();
    let early = book.insert(reboot(OTHER_MACHINE, 11)).unwrap();
    let claim = |limit| {
        let claimed = book.claim_up_to(20, 50, limit);
        claimed.iter().map(|action| action.id).collect::<Vec<_>>()
    };
    assert_eq!(claim(1), [early]);
    assert_eq!(claim(1), [late]);
}

#[test]
fn parameters_come_back_as_they_were() {
    let book = Book::new();
    let params = Params::Rename { display_name: "Ada's “PC”".into() };
    let id = book.insert(crate::fixture::action(MACHINE, params.clone(), 1)).unwrap();
    assert_eq!(book.action(id).params, params);
}
