//! Remote sessions: which are kept, and which are open.

use cloudpc_model::{CloudPcId, RemoteSession, Timestamp};
use cloudpc_store::REMOTE_SESSIONS_MAX;

use crate::fixture::{Book, MACHINE, OTHER_MACHINE, OTHER_TENANT, TENANT};

fn machine() -> CloudPcId {
    MACHINE.parse().unwrap()
}

fn other_machine() -> CloudPcId {
    OTHER_MACHINE.parse().unwrap()
}

fn session(signed_in_at: i64) -> RemoteSession {
    RemoteSession {
        id: 0,
        user_principal_name: "ada@contoso.test".into(),
        signed_in_at: Timestamp(signed_in_at),
        signed_out_at: None,
        seen_at: None,
        round_trip_ms: Some(17),
        bandwidth_kbps: None,
        sign_in_ms: Some(2_500),
    }
}

impl Book {
    fn begin(&self, cloud_pc: CloudPcId, session: RemoteSession) -> i64 {
        self.write(move |tx| tx.remote_session_insert(TENANT, cloud_pc, &session)).unwrap()
    }

    fn sessions(&self, cloud_pc: CloudPcId) -> Vec<RemoteSession> {
        self.read(move |reader| reader.remote_session_list(TENANT, cloud_pc, None, usize::MAX))
    }
}

#[test]
fn a_session_is_open_until_it_ends_once() {
    let book = Book::new();
    let id = book.begin(machine(), session(1));
    assert_eq!(book.sessions(machine()), [RemoteSession { id, ..session(1) }]);
    for at in [5, 9] {
        book.write(move |tx| tx.remote_session_end(TENANT, machine(), id, Timestamp(at))).unwrap();
    }
    let ended = RemoteSession { id, signed_out_at: Some(Timestamp(5)), ..session(1) };
    assert_eq!(book.sessions(machine()), [ended]);
}

#[test]
fn what_interrupts_a_machine_ends_its_open_sessions_and_no_others() {
    let book = Book::new();
    for cloud_pc in [machine(), machine(), other_machine()] {
        book.begin(cloud_pc, session(1));
    }
    assert_eq!(book.write(|tx| tx.remote_sessions_end(TENANT, machine(), Timestamp(4))).unwrap(), 2);
    assert_eq!(book.write(|tx| tx.remote_sessions_end(TENANT, machine(), Timestamp(9))).unwrap(), 0);
    assert!(book.sessions(machine()).iter().all(|session| session.signed_out_at == Some(Timestamp(4))));
    assert_eq!(book.sessions(other_machine())[0].signed_out_at, None);
}

#[test]
fn a_session_that_a_killed_process_watched_ended_when_it_was_last_seen() {
    let book = Book::new();
    let watched = book.begin(machine(), RemoteSession { seen_at: Some(Timestamp(1)), ..session(1) });
    let stated = book.begin(machine(), session(2));
    book.write(move |tx| tx.remote_session_seen(TENANT, machine(), watched, Timestamp(7))).unwrap();
    assert_eq!(book.write(|tx| tx.remote_sessions_end_watched()).unwrap().len(), 1);
    let ends: Vec<_> =
        book.sessions(machine()).into_iter().map(|session| (session.id, session.signed_out_at)).collect();
    assert_eq!(ends, [(stated, None), (watched, Some(Timestamp(7)))]);
}

#[test]
fn the_latest_sessions_of_a_cloud_pc_are_kept() {
    let book = Book::new();
    book.begin(other_machine(), session(1));
    book.write(|tx| {
        for at in 1..=REMOTE_SESSIONS_MAX + 1 {
            tx.remote_session_insert(TENANT, machine(), &session(at))?;
        }
        Ok(())
    })
    .unwrap();
    let kept = book.sessions(machine());
    assert_eq!(i64::try_from(kept.len()).unwrap(), REMOTE_SESSIONS_MAX);
    assert_eq!(kept.last().unwrap().signed_in_at, Timestamp(2));
    assert_eq!(book.sessions(other_machine()).len(), 1);
}

#[test]
fn sessions_of_a_tenant_are_read_in_pieces() {
    let book = Book::new();
    for cloud_pc in [machine(), machine(), other_machine()] {
        book.begin(cloud_pc, session(1));
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let piece = book.read(move |reader| reader.remote_session_list_all(TENANT, after, 1));
        let Some((cloud_pc, session)) = piece.into_iter().next() else { break };
        found.push((cloud_pc, session.id));
        after = found.last().copied();
    }
    let mut expected = [(machine(), 1), (machine(), 2), (other_machine(), 1)];
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(book.read(|reader| reader.remote_session_list_all(OTHER_TENANT, None, 9)), []);
}
