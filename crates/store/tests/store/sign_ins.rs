//! What the token service remembers: counters of attempts, device codes, the domains of tenants.

use cloudpc_model::{AppId, TenantId, Timestamp, UserId};
use cloudpc_store::{DeviceCode, DeviceCodeShare, SIGN_IN_COUNTERS_MAX, SignInCounter, User, UserProfile};
use std::time::Duration;
use uuid::Uuid;

use crate::fixture::{Book, OTHER_TENANT, TENANT};

const WINDOW: Duration = Duration::from_secs(10);

fn counter(tenant_id: Option<TenantId>, subject: u64) -> SignInCounter {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&subject.to_be_bytes());
    SignInCounter { tenant_id, subject: hash, window: WINDOW }
}

#[test]
fn a_counter_counts_within_its_window_and_apart_by_tenant() {
    let book = Book::new();
    let add = |tenant, at| book.write(move |tx| tx.sign_in_count_add(&counter(tenant, 1), Timestamp(at))).unwrap();
    let count = |tenant, at| book.read(move |reader| reader.sign_in_count(&counter(tenant, 1), Timestamp(at)));
    let (begin, end) = (1_000_000, 11_000_000);
    assert_eq!((add(Some(TENANT), begin), add(Some(TENANT), end - 1), add(None, begin)), (1, 2, 1));
    assert_eq!((count(Some(TENANT), end - 1), count(Some(TENANT), end)), (2, 0));
    assert_eq!((count(Some(OTHER_TENANT), begin), count(None, begin)), (0, 1));
    assert_eq!(add(Some(TENANT), end), 1, "the next window begins anew");
    assert_eq!(count(Some(TENANT), begin - 1), 0, "a clock that is set back keeps nobody out");
    for (events, left) in [(1, 1), (5, 0)] {
        for _ in 0..2 {
            add(None, begin);
        }
        book.write(move |tx| tx.sign_in_count_subtract(&counter(None, 1), events)).unwrap();
        assert_eq!(count(None, begin), left);
    }
}

#[test]
fn counters_are_bounded_and_those_that_expire_first_go() {
    let book = Book::in_file();
    book.write(|tx| {
        for number in 0..=SIGN_IN_COUNTERS_MAX {
            tx.sign_in_count_add(&counter(None, number), Timestamp(number.cast_signed()))?;
            if number == 3 {
                tx.sign_in_counters_sweep(Timestamp(3), 2)?;
            }
        }
        Ok(())
    })
    .unwrap();
    let number = |sql: &str| book.sql().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("SELECT count(*) FROM sign_in_counters"), SIGN_IN_COUNTERS_MAX.cast_signed() - 1);
    assert_eq!(number("SELECT min(expires_at) FROM sign_in_counters"), 10_000_002, "the first two went");
    let late = Timestamp(20_000_000);
    book.write(move |tx| tx.sign_in_counters_sweep(late, SIGN_IN_COUNTERS_MAX)).unwrap();
    assert_eq!(number("SELECT count(*) FROM sign_in_counters"), 0);
}

fn code(number: u8) -> DeviceCode {
    DeviceCode {
        tenant_id: (number > 1).then_some(TENANT),
        device_code: [number; 32],
        user_code: [100 + number; 32],
        client_id: AppId(Uuid::from_u128(u128::from(number % 2))),
        client_name: "Client".into(),
        peer: "192.0.2.1".into(),
        scope: "openid".into(),
        attempts: 0,
        declined: false,
        user: None,
        interval: Duration::from_secs(5),
        polled_at: None,
        seen_at: Timestamp(number.into()),
        expires_at: Timestamp(100),
    }
}

#[test]
fn device_codes_are_found_by_either_hash_until_they_expire() {
    let book = Book::new();
    let changed = DeviceCode {
        attempts: 3,
        declined: true,
        user: Some((TENANT, UserId(Uuid::from_u128(7)))),
        interval: Duration::from_secs(10),
        polled_at: Some(Timestamp(50)),
        seen_at: Timestamp(50),
        ..code(2)
    };
    let put = [code(1), code(2), changed.clone()];
    book.write(move |tx| put.iter().try_for_each(|code| tx.device_code_put(code))).unwrap();
    let found = |number: u8, at| {
        book.read(move |reader| {
            let by_device = reader.device_code(&[number; 32], Timestamp(at))?;
            assert_eq!(by_device, reader.device_code_by_user_code(&[100 + number; 32], Timestamp(at))?);
            Ok(by_device)
        })
    };
    assert_eq!((found(1, 99), found(2, 99), found(3, 99)), (Some(code(1)), Some(changed), None));
    assert_eq!(found(1, 100), None);
    book.write(|tx| tx.device_code_delete(&[1; 32])).unwrap();
    assert_eq!(found(1, 99), None);
    book.write(|tx| tx.device_codes_sweep(Timestamp(100))).unwrap();
    assert_eq!(book.read(|reader| reader.device_code_count(DeviceCodeShare::Installation)), 0);
}

/// Numbers of the codes that there are, of 1 to 9.
fn codes_left(book: &Book) -> Vec<u8> {
    let is_left = |number: &u8| {
        book.read({
            let device_code = [*number; 32];
            move |reader| reader.device_code(&device_code, Timestamp(9))
        })
        .is_some()
    };
    (1..=9).filter(is_left).collect()
}

#[test]
fn a_peer_loses_the_untried_code_that_it_has_not_polled_for_longest() {
    let book = Book::new();
    let put = [DeviceCode { attempts: 1, ..code(1) }, code(2), DeviceCode { declined: true, ..code(3) }, code(4)];
    book.write(move |tx| put.iter().try_for_each(|code| tx.device_code_put(code))).unwrap();
    let evict = |peer: &'static str| book.write(move |tx| tx.device_code_evict_untried(peer)).unwrap();
    assert!(!evict("192.0.2.2"));
    assert!(evict("192.0.2.1"));
    assert_eq!(codes_left(&book), [1, 3, 4]);
    assert!(evict("192.0.2.1"));
    assert!(!evict("192.0.2.1"), "the others were tried");
    assert_eq!(codes_left(&book), [1, 3]);
}

#[test]
fn a_full_share_takes_from_the_peer_with_the_most_codes_and_spares_those_in_use() {
    let book = Book::new();
    let of = |peer: &str, number: u8| DeviceCode { peer: peer.into(), interval: Duration::ZERO, ..code(number) };
    let entered = |code| DeviceCode { user: Some((TENANT, UserId(Uuid::from_u128(7)))), ..code };
    let polled = |code| DeviceCode { interval: Duration::from_secs(5), ..code };
    let put = [
        of("one", 1),
        entered(of("two", 2)),
        of("two", 3),
        entered(of("three", 4)),
        polled(of("three", 5)),
        of("three", 6),
    ];
    book.write(move |tx| put.iter().try_for_each(|code| tx.device_code_put(code))).unwrap();
    let evict = |share: DeviceCodeShare<'static>, protected| {
        let now = Timestamp(2 * 5_000_000);
        let evicted = book.write(move |tx| tx.device_code_evict_from_largest_peer(share, protected, now)).unwrap();
        (evicted, codes_left(&book))
    };
    let all = DeviceCodeShare::Installation;
    assert_eq!(evict(all, 2), (true, vec![1, 2, 3, 4, 5]), "of three, which has three");
    assert_eq!(evict(all, 2), (true, vec![1, 2, 4, 5]), "of two, since the codes of three are in use");
    assert_eq!(evict(all, 2), (true, vec![2, 4, 5]), "the last that is not in use");
    assert_eq!(evict(all, 2), (false, vec![2, 4, 5]));
    assert_eq!(evict(all, 1), (true, vec![2, 5]), "three has more than one");
    let client = DeviceCodeShare::Client(code(2).client_id);
    assert_eq!(evict(client, 0), (true, vec![5]));
    assert_eq!(evict(client, 0), (false, vec![5]));
}

#[test]
fn tenants_are_found_by_the_domain_of_their_users() {
    let book = Book::in_file();
    let user = |tenant_id, number, name: &str| User {
        tenant_id,
        id: UserId(Uuid::from_u128(number)),
        user_principal_name: name.into(),
        display_name: String::new(),
        password_hash: None,
        roles: Vec::new(),
        permissions: Vec::new(),
        enabled: true,
        profile: UserProfile::default(),
        created_at: None,
    };
    let users = [
        user(TENANT, 1, "ada@Contoso.test"),
        user(TENANT, 2, "grace@contoso.test"),
        user(TENANT, 3, "alan@shared.test"),
        user(OTHER_TENANT, 4, "bob@shared.test"),
    ];
    book.write(move |tx| users.iter().try_for_each(|user| tx.user_put(user))).unwrap();
    let tenants = |domain: &'static str| book.read(move |reader| reader.tenants_by_domain(domain));
    assert_eq!(tenants("CONTOSO.test"), [TENANT]);
    assert_eq!(tenants("shared.test"), [TENANT, OTHER_TENANT]);
    assert!(tenants("test").is_empty() && tenants("ada@contoso.test").is_empty());
    let plan: String = book
        .sql()
        .query_row(
            "EXPLAIN QUERY PLAN SELECT DISTINCT tenant_id FROM users
             WHERE lower(substr(user_principal_name, instr(user_principal_name, '@') + 1)) = lower('x') LIMIT 2",
            [],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("users_domain"), "{plan}");
}
