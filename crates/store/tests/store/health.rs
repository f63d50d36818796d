//! The health of machines: when one is to be looked at, and what is kept of what was found.

use cloudpc_model::{
    CloudPc, CloudPcId, CloudPcStatus, HealthCheck, HealthEvent, ImageId, ManagedDeviceId, OsVersion, Power, Product,
    ProvisioningType, ServicePlanId, State, Timestamp, UserAccountType, UserExperienceType, UserId,
};
use cloudpc_store::HEALTH_EVENTS_MAX;
use uuid::Uuid;

use crate::fixture::{Book, MACHINE, OTHER_MACHINE, OTHER_TENANT, TENANT, deploy, finished, reboot};

fn id() -> CloudPcId {
    MACHINE.parse().unwrap()
}

fn cloud_pc() -> CloudPc {
    CloudPc {
        tenant_id: TENANT,
        id: id(),
        managed_device_id: ManagedDeviceId(Uuid::nil()),
        aad_device_id: Uuid::nil(),
        display_name: String::new(),
        managed_device_name: String::new(),
        user_id: Some(UserId(Uuid::from_u128(1))),
        user_principal_name: String::new(),
        service_plan_id: ServicePlanId(Uuid::nil()),
        image_id: ImageId(String::new()),
        provisioning_policy_id: String::new(),
        provisioning_policy_name: String::new(),
        single_sign_on: false,
        region: String::new(),
        product: Product::Business,
        provisioning_type: ProvisioningType::Dedicated,
        user_experience_type: UserExperienceType::CloudPc,
        session_started_at: None,
        on_premises_connection_id: String::new(),
        status: CloudPcStatus::Provisioned,
        status_before: None,
        status_detail: None,
        power_intended: Power::Running,
        power_observed: Power::Running,
        os_version: OsVersion::Windows11,
        user_account_type: UserAccountType::StandardUser,
        provisioned_at: None,
        grace_ends_at: None,
        modified_at: Timestamp(1),
        created_at: Timestamp(1),
    }
}

impl Book {
    fn with_machine() -> Self {
        let book = Self::new();
        book.write(|tx| tx.cloud_pc_insert(&cloud_pc())).unwrap();
        book
    }

    fn ask(&self, now: i64) {
        self.write(move |tx| tx.health_check_schedule(id(), Timestamp(now))).unwrap();
    }

    fn checks(&self, now: i64) -> Vec<HealthCheck> {
        self.write(move |tx| tx.health_check_claim(Timestamp(now), Timestamp(now + 10), 9)).unwrap()
    }

    fn next_check(&self) -> Option<i64> {
        self.read(|reader| reader.health_check_next_due()).map(|at| at.0)
    }
}

#[test]
fn a_machine_is_looked_at_when_asked_and_again_if_nothing_came_of_it() {
    let book = Book::with_machine();
    let stranger = OTHER_MACHINE.parse().unwrap();
    book.write(move |tx| tx.health_check_schedule(stranger, Timestamp(1))).unwrap();
    assert_eq!(book.next_check(), None, "it is nobody's");
    book.ask(5);
    book.ask(7);
    let check = HealthCheck {
        tenant_id: TENANT,
        cloud_pc_id: id(),
        restarts: 0,
        restart_at: None,
        forget_at: None,
        enrol: false,
        due_at: Timestamp(15),
    };
    assert_eq!((book.checks(4), book.checks(5)), (vec![], vec![check.clone()]));
    assert_eq!(book.next_check(), Some(15), "the one who took it may have died");

    let known = HealthCheck { restarts: 2, restart_at: Some(Timestamp(40)), ..check };
    let kept = known.clone();
    book.write(move |tx| tx.health_check_postpone(&kept, Timestamp(40))).unwrap();
    book.ask(20);
    assert_eq!(book.read(|reader| reader.health_check_due_at(TENANT, id())), Some(Timestamp(20)));
    let due_at = Timestamp(30);
    assert_eq!(book.checks(20), [HealthCheck { due_at, ..known }], "what is known of it stays");
    book.write(|tx| tx.health_check_delete(TENANT, id())).unwrap();
    book.write(|tx| tx.health_check_delete(TENANT, id())).unwrap();
    assert_eq!(book.next_check(), None);
}

#[test]
fn what_an_open_remote_action_does_is_not_looked_into() {
    let book = Book::with_machine();
    book.insert(deploy(MACHINE, 1)).unwrap();
    book.ask(2);
    assert_eq!(book.next_check(), Some(2), "a deployment leaves the machine's power alone");
    let reboot = book.insert(reboot(MACHINE, 3)).unwrap();
    assert_eq!((book.checks(9), book.next_check()), (vec![], None));
    book.append(reboot, 0, 4, finished(State::Failed)).unwrap();
    assert_eq!(book.checks(9).len(), 1);
}

#[test]
fn the_latest_findings_are_kept_and_the_oldest_make_room() {
    let book = Book::new();
    book.write(|tx| {
        for at in 1..=HEALTH_EVENTS_MAX {
            let event =
                HealthEvent { id: 0, at: Timestamp(at), name: "A".into(), well: at % 2 == 0, message: "m".into() };
            tx.health_event_insert(TENANT, id(), &event)?;
        }
        Ok(())
    })
    .unwrap();
    let ids = |before: Option<i64>, limit: usize| {
        let events = book.read(move |reader| reader.health_event_list(TENANT, id(), before, limit));
        events.into_iter().map(|event| (event.id, event.at.0, event.well)).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 2), [(1000, 1000, true), (999, 999, false)]);
    assert_eq!(ids(Some(3), 9), [(2, 2, true), (1, 1, false)], "all of them");
    let event = HealthEvent { id: 0, at: Timestamp(2000), name: "A".into(), well: true, message: "m".into() };
    book.write(move |tx| tx.health_event_insert(TENANT, id(), &event)).unwrap();
    assert_eq!((ids(None, 1), ids(Some(3), 9)), (vec![(1001, 2000, true)], vec![(2, 2, true)]));
    assert_eq!(book.read(|reader| reader.health_event_list(OTHER_TENANT, id(), None, 9)), []);
}

#[test]
fn a_new_machine_is_looked_at_until_somebody_says_that_its_guest_knows_its_name() {
    let book = Book::with_machine();
    book.write(move |tx| tx.health_check_schedule_enrolment(TENANT, id(), Timestamp(5))).unwrap();
    book.ask(3);
    let [check] = book.checks(5).try_into().unwrap();
    assert!(check.enrol, "a further reason to look takes nothing away");
    let told = HealthCheck { enrol: false, ..check };
    book.write(move |tx| tx.health_check_postpone(&told, Timestamp(40))).unwrap();
    assert!(!book.checks(40)[0].enrol);
}
