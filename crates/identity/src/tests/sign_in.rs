//! Tests of password sign-ins: limits, costs and what a refusal reveals.

use super::super::attempts::{
    Attempts, PASSWORD_ATTEMPTS, PEER_ATTEMPTS_MAX, PEER_WINDOW, SUBJECT_WINDOW, SUCCESSES_MAX, successes_of_peer,
    successes_of_user,
};
use super::super::passwords::{PASSWORD_BYTES_MAX, PASSWORD_CHECKS_MAX};
use super::super::sign_in::{SIGN_INS_MAX, SIGN_INS_PER_PEER_MAX, SignInRefusal};
use super::device::NAME;
use super::*;
use cloudpc_store::SignInCounter;
use futures_util::FutureExt as _;
use futures_util::future::{join_all, ready};

/// Returns a peer without attempts.
fn peer(number: u32) -> Peer {
    Peer(Ipv4Addr::from_bits(number).into())
}

impl TestIdentity {
    /// Signs in with a code that another peer requested.
    async fn try_password(&self, peer: Peer, name: &str, password: &str) -> Result<(), SignInRefusal> {
        let started = self.start_at(OTHER_PEER).await;
        let signed_in = self.sign_in_from(peer, &started.user_code, name, password).await.map(drop);
        // Redeemed so that the codes do not run out.
        if signed_in.is_ok() {
            self.poll(&started).await.unwrap();
        }
        self.forget_codes().await;
        signed_in
    }

    async fn forget_codes(&self) {
        let later = self.identity.clock.now() + Duration::from_hours(1);
        self.identity.store.write("test.write", move |tx| tx.device_codes_sweep(later)).await.unwrap();
    }

    /// Takes attempts on a user concurrently; returns how many are allowed.
    async fn take_attempts(&self, peer: Peer, name: &str, attempts: usize) -> usize {
        let now = self.identity.clock.now();
        let of_user = Attempts::on(&PASSWORD_ATTEMPTS, Some(TENANT), name, peer);
        let take = || {
            self.identity.store.write("test.write", move |tx| {
                let allowed = of_user.is_allowed(tx, now)?;
                if allowed {
                    of_user.count(tx, now)?;
                }
                Ok::<_, Error>(allowed)
            })
        };
        join_all((0..attempts).map(|_| take())).await.into_iter().filter(|allowed| *allowed.as_ref().unwrap()).count()
    }
}

#[tokio::test]
async fn concurrent_guesses_are_counted_before_they_are_checked() {
    let service = TestIdentity::new().await;
    let max = usize::try_from(PASSWORD_ATTEMPTS.peer_max).unwrap();
    assert_eq!(service.take_attempts(PEER, NAME, 301).await, max);
    assert_eq!(
        service.try_password(PEER, NAME, PASSWORD).await,
        Err(SignInRefusal::NameOrPassword),
        "the right password is refused too"
    );
    service.clock.advance(PEER_WINDOW).await;
    assert_eq!(service.try_password(PEER, NAME, PASSWORD).await, Ok(()));

    // The same with sign-ins: 300 wrong passwords and the right one.
    let codes = join_all((0..301).map(|number| service.start_at(peer(number)))).await;
    let guesses = codes.iter().enumerate().map(|(number, started)| {
        let password = if number == 300 { PASSWORD } else { "guess" };
        service.sign_in(&started.user_code, NAME, password)
    });
    let answers = join_all(guesses).await;
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    let looked_at = answers.iter().filter(|answer| **answer == Err(SignInRefusal::NameOrPassword)).count();
    assert!(looked_at <= max, "{looked_at}");
}

#[tokio::test]
async fn a_success_refunds_the_attempts() {
    let service = TestIdentity::new().await;
    for _ in 0..3 {
        for _ in 1..PASSWORD_ATTEMPTS.peer_max {
            assert_eq!(service.try_password(PEER, NAME, "wrong").await, Err(SignInRefusal::NameOrPassword));
        }
        assert_eq!(service.try_password(PEER, NAME, PASSWORD).await, Ok(()), "the last attempt can succeed");
    }
}

#[tokio::test]
async fn one_peer_cannot_lock_out_others_and_many_only_slow_down() {
    let service = TestIdentity::new().await;
    service.take_attempts(PEER, "ada@contoso.test", 301).await;
    assert_eq!(service.try_password(peer(1), NAME, PASSWORD).await, Ok(()), "from another address");

    let peers = PASSWORD_ATTEMPTS.subject_max / PASSWORD_ATTEMPTS.peer_max;
    for number in 0..u32::try_from(peers).unwrap() {
        service.take_attempts(peer(100 + number), NAME, 301).await;
    }
    let slowed = service.take_attempts(peer(999), NAME, 301).await;
    assert_eq!(slowed as u64, PASSWORD_ATTEMPTS.slowed_max);
    assert_eq!(service.try_password(peer(999), NAME, PASSWORD).await, Err(SignInRefusal::NameOrPassword));
    assert_eq!(service.try_password(peer(998), NAME, PASSWORD).await, Ok(()), "a peer without failures can sign in");
    service.clock.advance(SUBJECT_WINDOW).await;
    assert_eq!(service.take_attempts(peer(999), NAME, 301).await as u64, PASSWORD_ATTEMPTS.peer_max);
}

#[tokio::test]
async fn attempts_survive_a_restart() {
    let service = TestIdentity::new().await;
    service.take_attempts(PEER, NAME, 301).await;
    let service = service.restarted().await;
    assert_eq!(service.try_password(PEER, NAME, PASSWORD).await, Err(SignInRefusal::NameOrPassword));
}

#[tokio::test]
async fn attempts_of_a_peer_are_limited_across_names_and_codes() {
    let service = TestIdentity::new().await;
    for number in 0..PEER_ATTEMPTS_MAX {
        let refused = service.sign_in(&format!("WRONG{number}"), NAME, PASSWORD).await;
        assert_eq!(refused, Err(SignInRefusal::Code));
    }
    let started = service.start_at(OTHER_PEER).await;
    let refused = Err(SignInRefusal::TooMany(PEER_WINDOW));
    assert_eq!(service.sign_in(&started.user_code, NAME, PASSWORD).await, refused);
    assert_eq!(service.identity.decline(PEER, &started.user_code).await, refused.map(drop));
    assert!(service.sign_in_from(OTHER_PEER, &started.user_code, NAME, PASSWORD).await.is_ok());
}

#[tokio::test]
async fn unknown_and_disabled_users_get_the_same_refusal() {
    let service = TestIdentity::new().await;
    let refused = Err(SignInRefusal::NameOrPassword);
    let try_all = async |names: &[(&str, &str)]| {
        for (name, password) in names {
            let before = service.identity.passwords.checks();
            assert_eq!(service.try_password(PEER, name, password).await, refused, "{name}");
            assert_eq!(service.identity.passwords.checks(), before + 1, "{name}: each costs one check");
        }
    };
    try_all(&[(NAME, "guess"), ("nobody@contoso.test", PASSWORD), (NAME, "")]).await;
    service.change(application(), User { enabled: false, ..ada() }).await;
    try_all(&[(NAME, PASSWORD)]).await;
    service.change(application(), User { password_hash: None, ..ada() }).await;
    try_all(&[(NAME, ""), (NAME, PASSWORD)]).await;
    service.change(application(), ada()).await;
    for name in [NAME, "nobody@contoso.test"] {
        service.take_attempts(PEER, name, 301).await;
    }
    try_all(&[(NAME, PASSWORD), ("nobody@contoso.test", PASSWORD)]).await;
}

#[tokio::test]
async fn concurrent_sign_ins_are_limited_with_a_share_per_peer() {
    let service = TestIdentity::new().await;
    let places = &service.identity.sign_in_places;
    let mut taken: Vec<_> = (0..SIGN_INS_PER_PEER_MAX).map(|_| places.take(PEER).unwrap()).collect();
    let started = service.start().await;
    let refused = service.sign_in(&started.user_code, NAME, PASSWORD).await;
    assert!(matches!(refused, Err(SignInRefusal::TooMany(_))), "{refused:?}");
    assert!(service.sign_in_from(OTHER_PEER, &started.user_code, NAME, PASSWORD).await.is_ok());
    let more = (0..).map(|number| places.take(peer(number))).take_while(Option::is_some);
    taken.extend(more.flatten());
    let displaced = SIGN_INS_PER_PEER_MAX - 1;
    assert_eq!(taken.len(), SIGN_INS_MAX + displaced, "new peers displace all waiting sign-ins of a peer except one");
    for (number, place) in taken.iter_mut().enumerate() {
        let is_displaced = (1..=displaced).contains(&number);
        assert_eq!(place.wait_for(ready(())).await.is_none(), is_displaced, "{number}");
    }
    taken.pop();
    assert!(places.take(OTHER_PEER).is_some());
}

#[tokio::test]
async fn a_new_peer_displaces_a_waiting_sign_in() {
    let service = TestIdentity::new().await;
    let all = u32::try_from(PASSWORD_CHECKS_MAX).unwrap();
    let turns = service.identity.passwords.places.acquire_many(all).await.unwrap();
    let peers = u32::try_from(SIGN_INS_MAX / SIGN_INS_PER_PEER_MAX).unwrap();
    let mut codes = vec![];
    for number in (0..peers).flat_map(|number| [number; SIGN_INS_PER_PEER_MAX]) {
        codes.push((peer(number), service.start_at(peer(number)).await.user_code));
    }
    let sign_in = |(peer, code): &(Peer, String)| {
        let (peer, code, service) = (*peer, code.clone(), &service);
        Box::pin(async move { service.sign_in_from(peer, &code, NAME, PASSWORD).await })
    };
    let mut waiting: Vec<_> = codes.iter().map(sign_in).collect();
    assert!(waiting.iter_mut().all(|sign_in| sign_in.as_mut().now_or_never().is_none()));
    let newcomer = (OTHER_PEER, service.start_at(OTHER_PEER).await.user_code);
    let mut newcomer = sign_in(&newcomer);
    assert!(newcomer.as_mut().now_or_never().is_none(), "the newcomer waits for its turn");
    let displaced: Vec<usize> = waiting
        .iter_mut()
        .enumerate()
        .filter_map(|(number, sign_in)| {
            let refused = sign_in.as_mut().now_or_never()?;
            assert!(matches!(refused, Err(SignInRefusal::TooMany(_))), "{refused:?}");
            Some(number)
        })
        .collect();
    assert_eq!(displaced, [SIGN_INS_MAX - 1], "the newest waiting sign-in is displaced");
    waiting.clear();
    drop(turns);
    assert!(newcomer.await.is_ok());
}

#[tokio::test]
async fn successful_sign_ins_are_limited_per_user_and_peer() {
    let service = TestIdentity::new().await;
    let count = async |counter: SignInCounter, times: u64| {
        let now = service.identity.clock.now();
        let count = service
            .identity
            .store
            .write("test.write", move |tx| (0..times).try_for_each(|_| tx.sign_in_count_add(&counter, now).map(drop)));
        count.await.unwrap();
    };
    count(successes_of_user(&ada()), SUCCESSES_MAX - 1).await;
    assert_eq!(service.try_password(peer(1), NAME, PASSWORD).await, Ok(()));
    let refused = service.try_password(peer(2), NAME, PASSWORD).await;
    assert_eq!(refused, Err(SignInRefusal::NameOrPassword), "the same refusal as for a wrong password");
    service.clock.advance(PEER_WINDOW).await;
    count(successes_of_peer(PEER), SUCCESSES_MAX - 1).await;
    assert_eq!(service.try_password(PEER, NAME, PASSWORD).await, Ok(()));
    assert_eq!(service.try_password(PEER, NAME, PASSWORD).await, Err(SignInRefusal::TooMany(PEER_WINDOW)));
    assert_eq!(service.try_password(peer(1), NAME, PASSWORD).await, Ok(()), "from another address");
}

#[tokio::test]
async fn password_checks_are_limited_and_reuse_memory() {
    let service = TestIdentity::new().await;
    let passwords = &service.identity.passwords;
    let hash = hash(PASSWORD);
    let check = || async { passwords.fits(&passwords.turn().await.unwrap(), PASSWORD, Some(&hash)).await.unwrap() };
    assert!(join_all((0..6).map(|_| check())).await.into_iter().all(|fits| fits));
    assert!(passwords.idle_memory() <= PASSWORD_CHECKS_MAX, "{}", passwords.idle_memory());

    let all = u32::try_from(PASSWORD_CHECKS_MAX).unwrap();
    let under_way = passwords.places.acquire_many(all).await.unwrap();
    let mut check = Box::pin(check());
    assert!(check.as_mut().now_or_never().is_none(), "the check waits for its turn");
    drop(under_way);
    assert!(check.await);
}

#[tokio::test]
async fn passwords_and_hashes_beyond_their_limits_are_rejected() {
    let service = TestIdentity::new().await;
    let turn = service.identity.passwords.turn().await.unwrap();
    let fits =
        async |password: &str, hash: &str| service.identity.passwords.fits(&turn, password, Some(hash)).await.unwrap();
    let longest = "x".repeat(PASSWORD_BYTES_MAX);
    assert!(fits(&longest, &hash(&longest)).await);
    let longer = "x".repeat(PASSWORD_BYTES_MAX + 1);
    assert!(!fits(&longer, &hash(&longer)).await);
    // Parameters that a scenario could contain; none may take more memory or time than our own
    // hashes.
    let costly = |from: &str, to: &str| hash(PASSWORD).replace(from, to);
    for refused in [costly("m=19456", "m=4194304"), costly("t=2", "t=9"), costly("$argon2id", "$argon3"), "x".into()] {
        assert!(!fits(PASSWORD, &refused).await, "{refused}");
    }
    assert!(fits(PASSWORD, &hash(PASSWORD)).await);
}
