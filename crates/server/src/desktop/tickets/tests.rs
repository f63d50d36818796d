use super::*;
use crate::caller::{Caller, TokenOrigin};
use cloudpc_drivers::sim::SimClock;
use cloudpc_model::{CloudPcId, SeededRng, TenantId, Timestamp};
use cloudpc_store::WriteMode;
use tempfile::TempDir;
use uuid::Uuid;

struct TestTickets {
    tickets: Tickets,
    clock: SimClock,
    directory: TempDir,
}

fn setup() -> TestTickets {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), WriteMode::InlineTwice).unwrap();
    let clock = SimClock::paused(Timestamp(0));
    let tickets = Tickets::new(store, Arc::new(clock.clone()), Arc::new(SeededRng::new(1)));
    TestTickets { tickets, clock, directory }
}

fn admission(tenant: u128, caller: usize) -> DesktopAdmission {
    DesktopAdmission {
        caller: Caller {
            tenant_id: TenantId(Uuid::from_u128(tenant)),
            app_id: None,
            app_name: caller.to_string(),
            user: None,
            permissions: ["CloudPC.Read.All".to_owned()].into(),
            origin: TokenOrigin::Local { key_id: "key".into() },
            is_owner: false,
        },
        cloud_pc_id: CloudPcId(Uuid::from_u128(9)),
        owner: None,
        view_only: true,
    }
}

#[tokio::test]
async fn a_ticket_and_its_key_are_single_use_and_expire() {
    let TestTickets { tickets, clock, directory: _directory } = setup();
    let mut issued = Vec::new();
    for caller in 0..4 {
        issued.push(tickets.issue(&admission(1, caller)).await.unwrap());
    }
    let open = async |ticket: &str| tickets.open_page(ticket).await.unwrap();
    let (admitted, key) = open(&issued[1]).await.unwrap();
    assert_eq!(admitted, admission(1, 1));
    assert_eq!(open(&issued[1]).await, None, "used");
    for forged in ["", "x", &issued[2][1..], &issued[0].to_ascii_uppercase(), &key] {
        assert_eq!(open(forged).await, None, "{forged}");
    }
    clock.advance(TICKET_TIME_MAX - Duration::from_micros(1)).await;
    assert_eq!(tickets.open_screen(&issued[1], &key).await.unwrap(), Some(admission(1, 1)), "just before it expires");
    assert_eq!(tickets.open_screen(&issued[1], &key).await.unwrap(), None, "used");
    let (_, late) = open(&issued[0]).await.unwrap();
    let (_, lent) = open(&issued[2]).await.unwrap();
    assert_eq!(tickets.open_screen(&issued[0], &lent).await.unwrap(), None, "the key of another page");
    assert_eq!(tickets.open_screen(&issued[2], &lent).await.unwrap(), None, "used up by the attempt");
    clock.advance(Duration::from_micros(1)).await;
    assert_eq!(open(&issued[3]).await, None, "expired");
    clock.advance(TICKET_TIME_MAX).await;
    assert_eq!(tickets.open_screen(&issued[0], &late).await.unwrap(), None, "expired");
}

#[tokio::test]
async fn a_ticket_survives_a_restart_and_is_not_readable_in_the_database() {
    let TestTickets { tickets, clock, directory } = setup();
    let ticket = tickets.issue(&admission(1, 1)).await.unwrap();
    drop(tickets);
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(ticket.len()).any(|part| part == ticket.as_bytes()));
    }
    let store = Store::open(directory.path(), WriteMode::InlineTwice).unwrap();
    let tickets = Tickets::new(store, Arc::new(clock), Arc::new(SeededRng::new(2)));
    let (admitted, _) = tickets.open_page(&ticket).await.unwrap().unwrap();
    assert_eq!(admitted, admission(1, 1));
}

#[tokio::test]
async fn concurrent_uses_of_a_ticket_succeed_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
    let clock = Arc::new(SimClock::paused(Timestamp(0)));
    let tickets = Tickets::new(store, clock, Arc::new(SeededRng::new(1)));
    let ticket = tickets.issue(&admission(1, 1)).await.unwrap();
    let opened = futures_util::future::join_all((0..50).map(|_| tickets.open_page(&ticket))).await;
    let keys: Vec<_> = opened.into_iter().filter_map(|opened| opened.unwrap()).map(|(_, key)| key).collect();
    assert_eq!(keys.len(), 1);
    let screens = futures_util::future::join_all((0..50).map(|_| tickets.open_screen(&ticket, &keys[0]))).await;
    assert_eq!(screens.into_iter().filter_map(|opened| opened.unwrap()).count(), 1);
}

#[tokio::test]
async fn ticket_limits_of_one_caller_or_tenant_do_not_affect_others() {
    let TestTickets { tickets, clock, directory: _directory } = setup();
    let mut issued = Vec::new();
    for _ in 0..CALLER_TICKETS_MAX {
        issued.push(tickets.issue(&admission(1, 0)).await.unwrap());
    }
    assert!(matches!(tickets.issue(&admission(1, 0)).await, Err(TicketError::CallerLimit)));
    // An open page that has not connected yet counts too.
    let (_, key) = tickets.open_page(&issued[0]).await.unwrap().unwrap();
    assert!(matches!(tickets.issue(&admission(1, 0)).await, Err(TicketError::CallerLimit)));
    assert!(tickets.open_screen(&issued[0], &key).await.unwrap().is_some(), "existing tickets stay valid");
    tickets.issue(&admission(1, 0)).await.unwrap();

    for number in CALLER_TICKETS_MAX..TENANT_TICKETS_MAX {
        tickets.issue(&admission(1, number / CALLER_TICKETS_MAX)).await.unwrap();
    }
    assert!(matches!(tickets.issue(&admission(1, usize::MAX)).await, Err(TicketError::TenantLimit)));
    tickets.issue(&admission(2, 0)).await.unwrap();
    clock.advance(TICKET_TIME_MAX).await;
    tickets.issue(&admission(1, 0)).await.unwrap();
}
