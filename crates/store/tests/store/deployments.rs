//! Deployment results: they follow their actions and page by key.

use cloudpc_model::{ActionId, ActivityId, EventKind, Failure, PartnerId, State, Timestamp};
use cloudpc_store::{Deployment, DeploymentFilter, NewAction};
use uuid::Uuid;

use crate::fixture::{
    ACTIVITY, Book, MACHINE, OTHER_MACHINE, OTHER_TENANT, PARTNER, TENANT, deploy, deploy_in, finished, reboot, started,
};

const LATEST: ActionId = ActionId(i64::MAX);

#[test]
fn a_result_follows_its_action_in_the_same_transaction() {
    let book = Book::new();
    let id = book.insert(deploy(MACHINE, 10)).unwrap();
    let waiting = book.insert(deploy(MACHINE, 11)).unwrap();
    let result = |number: usize| all(&book)[number].clone();
    let accepted = Deployment {
        action_id: id,
        activity_id: ACTIVITY,
        target: MACHINE.into(),
        state: State::Pending,
        at_front: true,
        failure: None,
        started_at: Timestamp(10),
        modified_at: Timestamp(10),
    };
    assert_eq!(result(0), accepted);
    assert_eq!((result(1).action_id, result(1).at_front), (waiting, false));

    book.claim(20, 100);
    assert_eq!((result(0).state, result(0).modified_at), (State::Running, Timestamp(20)));
    book.append(id, 1, 21, started("fetch")).unwrap();
    book.append(id, 1, 22, EventKind::StepSucceeded { step: "fetch".into(), message: None }).unwrap();
    book.append(id, 1, 23, started("verify")).unwrap();
    let failure = Failure { code: "agentChecksumMismatch".into(), message: "Another file.".into() };
    let step_failed = EventKind::StepFailed { step: "verify".into(), outcome: State::Failed, failure: failure.clone() };
    book.append(id, 1, 24, step_failed).unwrap();
    assert_eq!(result(0).failure, None, "it has not ended yet");
    let end = EventKind::Finished { outcome: State::Failed, failure: Some(failure.clone()) };
    book.append(id, 1, 25, end).unwrap();
    let ended = Deployment {
        state: State::Failed,
        at_front: false,
        failure: Some(failure),
        modified_at: Timestamp(25),
        ..accepted
    };
    assert_eq!(result(0), ended);
    assert_eq!((result(1).at_front, result(1).modified_at), (true, Timestamp(25)), "the next has come to the front");
}

#[test]
fn pages_by_key_show_what_was_there_at_the_start_exactly_once() {
    let book = Book::new();
    for number in 0..25 {
        book.insert(deploy(&format!("machine {number}"), number)).unwrap();
        book.insert(reboot(&format!("machine {number}"), number)).unwrap();
    }
    let until = book.read(|reader| reader.deployment_latest(TENANT, PARTNER));
    let mut seen = Vec::new();
    let mut after = ActionId(0);
    loop {
        let page = list(&book, DeploymentFilter::default(), after, until, 10);
        let Some(last) = page.last() else { break };
        after = last.action_id;
        seen.extend(page.into_iter().map(|row| row.target));
        // Results keep arriving.
        book.insert(deploy("late", 100)).unwrap();
    }
    assert_eq!(seen, (0..25).map(|number| format!("machine {number}")).collect::<Vec<_>>());
}

#[test]
fn filters_find_what_the_unfiltered_list_holds_and_count_it() {
    let book = Book::new();
    let other_partner = PartnerId(Uuid::from_u128(0x51));
    let activity = |number: u128| ActivityId(Uuid::from_u128(0xAC0 + number));
    for (number, target) in [(0, MACHINE), (0, OTHER_MACHINE), (0, "Name"), (1, MACHINE), (2, "Name")] {
        book.insert(deploy_in(PARTNER, activity(number), target, 1)).unwrap();
        // Interleaved with other work on the same machine.
        let other = book.insert(reboot(target, 2)).unwrap();
        book.append(other, 0, 2, finished(State::Canceled)).unwrap();
        book.insert(deploy_in(other_partner, activity(number + 10), target, 3)).unwrap();
    }
    // An activity that goes on later.
    book.insert(deploy_in(PARTNER, activity(0), "late", 4)).unwrap();

    let everything = all(&book);
    assert_eq!(everything.len(), 6);
    let upper = |text: &str| text.to_ascii_uppercase();
    let none = "00000000-0000-0000-0000-000000000bad".to_owned();
    let activities =
        [None, Some(upper(&activity(0).to_string())), Some(activity(1).to_string()), Some(none), Some("x".into())];
    let targets = [None, Some(upper(MACHINE)), Some("nAME".into()), Some("late".into()), Some("unknown".into())];
    for activity in &activities {
        for target in &targets {
            let filter = DeploymentFilter { activity: activity.clone(), target: target.clone() };
            let expected: Vec<_> = everything
                .iter()
                .filter(|row| {
                    let same = |wanted: &Option<String>, value: &str| {
                        wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
                    };
                    same(activity, &row.activity_id.to_string()) && same(target, &row.target)
                })
                .cloned()
                .collect();
            assert_eq!(list(&book, filter.clone(), ActionId(0), LATEST, 100), expected, "{filter:?}");
            let skipped = list(&book, filter.clone(), everything[0].action_id, everything[4].action_id, 1);
            let within = expected.iter().find(|row| **row != everything[0] && **row != everything[5]);
            assert_eq!(skipped.first(), within, "{filter:?}");
            let counted = filter.clone();
            let count = book.read(move |reader| reader.deployment_count(TENANT, PARTNER, &counted));
            assert_eq!(count, expected.len() as u64, "{filter:?}");
        }
    }
    assert_eq!(book.read(move |reader| reader.activity_partner(TENANT, activity(11))), Some(other_partner));
    assert_eq!(book.read(move |reader| reader.activity_partner(OTHER_TENANT, activity(11))), None);
}

#[test]
fn another_tenant_sees_nothing() {
    let book = Book::new();
    book.insert(deploy(MACHINE, 1)).unwrap();
    let filters = [
        DeploymentFilter::default(),
        DeploymentFilter { activity: Some(ACTIVITY.to_string()), target: None },
        DeploymentFilter { activity: None, target: Some(MACHINE.into()) },
    ];
    for filter in filters {
        let seen = book.read(move |reader| {
            let list = reader.deployment_list(OTHER_TENANT, PARTNER, &filter, ActionId(0), LATEST, 10)?;
            Ok((list, reader.deployment_count(OTHER_TENANT, PARTNER, &filter)?))
        });
        assert_eq!(seen, (Vec::new(), 0));
    }
    assert_eq!(book.read(|reader| reader.deployment_latest(OTHER_TENANT, PARTNER)), ActionId(0));
    // The same ids in another tenant are other things.
    book.insert(NewAction { tenant_id: OTHER_TENANT, ..deploy(MACHINE, 2) }).unwrap();
    assert_eq!(all(&book).len(), 1);
}

fn all(book: &Book) -> Vec<Deployment> {
    list(book, DeploymentFilter::default(), ActionId(0), LATEST, 100)
}

fn list(book: &Book, filter: DeploymentFilter, after: ActionId, until: ActionId, limit: usize) -> Vec<Deployment> {
    book.read(move |reader| reader.deployment_list(TENANT, PARTNER, &filter, after, until, limit))
}
