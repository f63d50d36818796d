//! Ways back: which there is, when something is due about it, and what goes when all of them
//! together take too much.

use cloudpc_model::{
    ActionId, Before, CloudPcId, CloudPcStatus, ImageId, OsVersion, Params, ServicePlanId, State, Timestamp,
    UndoRecord, UserAccountType,
};
use uuid::Uuid;

use crate::fixture::{Book, MACHINE, OTHER_MACHINE, OTHER_TENANT, TENANT, action, deploy, finished, reboot};

const NO_END: u64 = u64::MAX >> 1;

fn record(machine: &str, action_id: i64, kept_until: i64) -> UndoRecord {
    UndoRecord {
        tenant_id: TENANT,
        cloud_pc_id: CloudPcId(machine.parse().unwrap()),
        action_id: ActionId(action_id),
        tag_nonce: Some(u64::MAX),
        before: Before {
            disk_aside: true,
            service_plan_id: ServicePlanId(Uuid::from_u128(7)),
            image_id: ImageId("image".into()),
            os_version: OsVersion::Windows10,
            user_account_type: UserAccountType::Administrator,
            provisioned_at: Some(Timestamp(1)),
            aad_device_id: Uuid::from_u128(9),
            status: CloudPcStatus::Provisioned,
            status_detail: None,
        },
        kept_until: Timestamp(kept_until),
        size_bytes: None,
        dropping: false,
    }
}

impl Book {
    fn put(&self, machine: &str, action_id: i64, now: i64) -> UndoRecord {
        let put = record(machine, action_id, now + 100);
        let kept = put.clone();
        self.write(move |tx| tx.undo_record_put(&kept, Timestamp(now))).unwrap();
        put
    }

    fn way_back(&self, machine: &'static str) -> Option<UndoRecord> {
        self.read(move |reader| reader.undo_record_of(TENANT, machine))
    }

    fn due(&self, now: i64) -> Vec<(i64, bool)> {
        let due = self.write(move |tx| tx.undo_record_claim(Timestamp(now), Timestamp(now + 10), 9)).unwrap();
        due.into_iter().map(|record| (record.action_id.0, record.dropping)).collect()
    }

    fn next_due(&self) -> Option<i64> {
        self.read(|reader| reader.undo_record_next_due()).map(|at| at.0)
    }

    fn measured(&self, action: i64, size_bytes: u64, bytes_max: u64, now: i64) {
        let measured = self
            .write(move |tx| tx.undo_records_measured(&[(ActionId(action), size_bytes)], bytes_max, Timestamp(now)));
        measured.unwrap();
    }
}

#[test]
fn a_machine_has_one_way_back_and_the_next_takes_its_place() {
    let book = Book::new();
    assert_eq!((book.way_back(MACHINE), book.next_due()), (None, None));
    let first = book.put(MACHINE, 1, 10);
    let other = book.put(OTHER_MACHINE, 2, 10);
    assert_eq!(book.way_back(MACHINE), Some(first.clone()));
    assert_eq!(book.way_back(OTHER_MACHINE), Some(other));
    assert_eq!(book.read(|reader| reader.undo_record(TENANT, ActionId(1))), Some(first));
    assert_eq!(book.read(|reader| reader.undo_record(OTHER_TENANT, ActionId(1))), None);
    assert_eq!(book.read(|reader| reader.undo_record_of(OTHER_TENANT, MACHINE)), None);

    let second = book.put(MACHINE, 3, 20);
    assert_eq!(book.way_back(MACHINE), Some(second));
    assert_eq!(book.read(|reader| reader.undo_record(TENANT, ActionId(1))), None, "on its way out");
    assert_eq!(book.due(20), [(2, false), (1, true), (3, false)]);
    book.write(|tx| tx.undo_record_delete(ActionId(3))).unwrap();
    book.write(|tx| tx.undo_record_delete(ActionId(3))).unwrap();
    assert_eq!(book.way_back(MACHINE), None);
}

#[test]
fn a_record_is_due_at_once_then_at_its_end_and_again_if_nothing_came_of_it() {
    let book = Book::new();
    book.put(MACHINE, 1, 10);
    assert_eq!(book.next_due(), Some(10));
    assert_eq!(book.due(9), []);
    assert_eq!(book.due(10), [(1, false)]);
    assert_eq!(book.next_due(), Some(20), "the one who took it may have died");
    assert_eq!(book.due(20), [(1, false)]);
    book.measured(1, 5, NO_END, 21);
    assert_eq!(book.way_back(MACHINE).unwrap().size_bytes, Some(5));
    assert_eq!(book.next_due(), Some(110));
    assert_eq!(book.due(109), []);
    assert_eq!(book.due(110), [(1, true)], "its time is over");
    assert_eq!(book.way_back(MACHINE), None);
    book.measured(1, 5, NO_END, 111);
    book.write(|tx| tx.undo_record_postpone(ActionId(1), Timestamp(300))).unwrap();
    assert_eq!((book.due(299), book.due(300)), (vec![], vec![(1, true)]));
}

#[test]
fn what_an_open_action_may_need_is_not_touched() {
    let book = Book::new();
    book.put(MACHINE, 1, 10);
    let undo = book.insert(action(MACHINE, Params::Undo { action_id: ActionId(1) }, 11)).unwrap();
    assert_eq!((book.due(1_000), book.next_due()), (vec![], None));
    book.measured(1, 5, 0, 12);
    assert!(book.way_back(MACHINE).is_some(), "nor for the budget");
    book.append(undo, 0, 12, finished(State::Failed)).unwrap();
    assert_eq!(book.next_due(), Some(110));
    book.insert(deploy(MACHINE, 13)).unwrap();
    assert_eq!(book.due(110), [(1, true)], "a deployment needs no old disk");
    book.insert(reboot(MACHINE, 130)).unwrap();
    assert_eq!(book.due(1_000), []);
}

#[test]
fn the_oldest_go_first_when_all_together_are_more_than_they_may_be() {
    let book = Book::new();
    let machines = [1_u128, 2, 3, 4].map(|number| Uuid::from_u128(number).to_string());
    for (number, machine) in (1..).zip(&machines) {
        book.put(machine, number, 10);
    }
    let kept = |book: &Book| {
        let kept = (1..=4).map(|number| book.read(move |reader| reader.undo_record(TENANT, ActionId(number))));
        kept.flatten().map(|record| record.action_id.0).collect::<Vec<_>>()
    };
    // A resize sets nothing aside: it is not worth dropping.
    book.measured(1, 0, 30, 11);
    book.measured(2, 10, 30, 11);
    book.measured(3, 20, 30, 11);
    assert_eq!(kept(&book), [1, 2, 3, 4], "exactly as much as they may be");
    book.measured(4, 1, 30, 12);
    assert_eq!(kept(&book), [1, 3, 4], "one byte more");
    book.measured(4, 31, 30, 13);
    assert_eq!(kept(&book), [1], "one that is too large by itself goes too, and last");
    assert_eq!(book.due(13), [(2, true), (3, true), (4, true)]);
}
