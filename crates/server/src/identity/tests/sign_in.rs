//! Sign-ins with a password: how many are looked at, what they cost, and what they tell.

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

/// A peer that has done nothing yet.
fn peer(number: u32) -> Peer {
    Peer(Ipv4Addr::from_bits(number).into())
}

impl TestIdentity {
    /// Signs in with a code that another peer has asked for.
    async fn try_password(&self, peer: Peer, name: &str, password: &str) -> Result<(), SignInRefusal> {
        let started = self.start_at(OTHER_PEER).await;
        let signed_in = self.sign_in_from(peer, &started.user_code, name, password).await.map(drop);
        // So that the codes do not run out.
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

    /// Takes attempts on a user all at once, as many requests do; returns how many are looked at.
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
async fn guesses_sent_at_once_are_counted_before_they_are_looked_at() {
    let world = TestIdentity::new().await;
    let max = usize::try_from(PASSWORD_ATTEMPTS.peer_max).unwrap();
    assert_eq!(world.take_attempts(PEER, NAME, 301).await, max);
    assert_eq!(world.try_password(PEER, NAME, PASSWORD).await, Err(SignInRefusal::NameOrPassword), "nor the right one");
    world.clock.advance(PEER_WINDOW).await;
    assert_eq!(world.try_password(PEER, NAME, PASSWORD).await, Ok(()));

    // The same by requests: 300 wrong ones and the right one.
    let codes = join_all((0..301).map(|number| world.start_at(peer(number)))).await;
    let guesses = codes.iter().enumerate().map(|(number, started)| {
        let password = if number == 300 { PASSWORD } else { "guess" };
        world.sign_in(&started.user_code, NAME, password)
    });
    let answers = join_all(guesses).await;
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    let looked_at = answers.iter().filter(|answer| **answer == Err(SignInRefusal::NameOrPassword)).count();
    assert!(looked_at <= max, "{looked_at}");
}

#[tokio::test]
async fn a_success_gives_the_attempts_back() {
    let world = TestIdentity::new().await;
    for _ in 0..3 {
        for _ in 1..PASSWORD_ATTEMPTS.peer_max {
            assert_eq!(world.try_password(PEER, NAME, "wrong").await, Err(SignInRefusal::NameOrPassword));
        }
        assert_eq!(world.try_password(PEER, NAME, PASSWORD).await, Ok(()), "the last attempt counts");
    }
}

#[tokio::test]
async fn a_stranger_locks_nobody_out_and_many_strangers_only_slow_each_other_down() {
    let world = TestIdentity::new().await;
    world.take_attempts(PEER, "ada@contoso.test", 301).await;
    assert_eq!(world.try_password(peer(1), NAME, PASSWORD).await, Ok(()), "from another address");

    let peers = PASSWORD_ATTEMPTS.subject_max / PASSWORD_ATTEMPTS.peer_max;
    for number in 0..u32::try_from(peers).unwrap() {
        world.take_attempts(peer(100 + number), NAME, 301).await;
    }
    let slowed = world.take_attempts(peer(999), NAME, 301).await;
    assert_eq!(slowed as u64, PASSWORD_ATTEMPTS.slowed_max);
    assert_eq!(world.try_password(peer(999), NAME, PASSWORD).await, Err(SignInRefusal::NameOrPassword));
    assert_eq!(world.try_password(peer(998), NAME, PASSWORD).await, Ok(()), "who has not failed signs in");
    world.clock.advance(SUBJECT_WINDOW).await;
    assert_eq!(world.take_attempts(peer(999), NAME, 301).await as u64, PASSWORD_ATTEMPTS.peer_max);
}

#[tokio::test]
async fn a_restart_forgets_no_attempt() {
    let world = TestIdentity::new().await;
    world.take_attempts(PEER, NAME, 301).await;
    let world = world.restarted().await;
    assert_eq!(world.try_password(PEER, NAME, PASSWORD).await, Err(SignInRefusal::NameOrPassword));
}

#[tokio::test]
async fn a_peer_has_a_bounded_number_of_attempts_on_whatever_names_and_codes() {
    let world = TestIdentity::new().await;
    for number in 0..PEER_ATTEMPTS_MAX {
        let refused = world.sign_in(&format!("WRONG{number}"), NAME, PASSWORD).await;
        assert_eq!(refused, Err(SignInRefusal::Code));
    }
    let started = world.start_at(OTHER_PEER).await;
    let refused = Err(SignInRefusal::TooMany(PEER_WINDOW));
    assert_eq!(world.sign_in(&started.user_code, NAME, PASSWORD).await, refused);
    assert_eq!(world.identity.decline(PEER, &started.user_code).await, refused.map(drop));
    assert!(world.sign_in_from(OTHER_PEER, &started.user_code, NAME, PASSWORD).await.is_ok());
}

#[tokio::test]
async fn who_may_not_sign_in_is_told_no_more_than_who_is_not_there() {
    let world = TestIdentity::new().await;
    let refused = Err(SignInRefusal::NameOrPassword);
    let try_all = async |names: &[(&str, &str)]| {
        for (name, password) in names {
            let before = world.identity.passwords.checks();
            assert_eq!(world.try_password(PEER, name, password).await, refused, "{name}");
            assert_eq!(world.identity.passwords.checks(), before + 1, "{name}: each costs one check");
        }
    };
    try_all(&[(NAME, "guess"), ("nobody@contoso.test", PASSWORD), (NAME, "")]).await;
    world.change(application(), User { enabled: false, ..ada() }).await;
    try_all(&[(NAME, PASSWORD)]).await;
    world.change(application(), User { password_hash: None, ..ada() }).await;
    try_all(&[(NAME, ""), (NAME, PASSWORD)]).await;
    world.change(application(), ada()).await;
    for name in [NAME, "nobody@contoso.test"] {
        world.take_attempts(PEER, name, 301).await;
    }
    try_all(&[(NAME, PASSWORD), ("nobody@contoso.test", PASSWORD)]).await;
}

#[tokio::test]
async fn sign_ins_have_few_places_and_a_peer_a_share_of_them() {
    let world = TestIdentity::new().await;
    let places = &world.identity.sign_in_places;
    let mut taken: Vec<_> = (0..SIGN_INS_PER_PEER_MAX).map(|_| places.take(PEER).unwrap()).collect();
    let started = world.start().await;
    let refused = world.sign_in(&started.user_code, NAME, PASSWORD).await;
    assert!(matches!(refused, Err(SignInRefusal::TooMany(_))), "{refused:?}");
    assert!(world.sign_in_from(OTHER_PEER, &started.user_code, NAME, PASSWORD).await.is_ok());
    let more = (0..).map(|number| places.take(peer(number))).take_while(Option::is_some);
    taken.extend(more.flatten());
    let displaced = SIGN_INS_PER_PEER_MAX - 1;
    assert_eq!(taken.len(), SIGN_INS_MAX + displaced, "newcomers get all places of a peer but one");
    for (number, place) in taken.iter_mut().enumerate() {
        let is_displaced = (1..=displaced).contains(&number);
        assert_eq!(place.wait_for(ready(())).await.is_none(), is_displaced, "{number}");
    }
    taken.pop();
    assert!(places.take(OTHER_PEER).is_some());
}

#[tokio::test]
async fn a_newcomer_gets_the_place_of_a_peer_that_has_several_waiting() {
    let world = TestIdentity::new().await;
    let all = u32::try_from(PASSWORD_CHECKS_MAX).unwrap();
    let turns = world.identity.passwords.places.acquire_many(all).await.unwrap();
    let peers = u32::try_from(SIGN_INS_MAX / SIGN_INS_PER_PEER_MAX).unwrap();
    let mut codes = vec![];
    for number in (0..peers).flat_map(|number| [number; SIGN_INS_PER_PEER_MAX]) {
        codes.push((peer(number), world.start_at(peer(number)).await.user_code));
    }
    let sign_in = |(peer, code): &(Peer, String)| {
        let (peer, code, world) = (*peer, code.clone(), &world);
        Box::pin(async move { world.sign_in_from(peer, &code, NAME, PASSWORD).await })
    };
    let mut waiting: Vec<_> = codes.iter().map(sign_in).collect();
    assert!(waiting.iter_mut().all(|sign_in| sign_in.as_mut().now_or_never().is_none()));
    let newcomer = (OTHER_PEER, world.start_at(OTHER_PEER).await.user_code);
    let mut newcomer = sign_in(&newcomer);
    assert!(newcomer.as_mut().now_or_never().is_none(), "it waits with the others");
    let displaced: Vec<usize> = waiting
        .iter_mut()
        .enumerate()
        .filter_map(|(number, sign_in)| {
            let refused = sign_in.as_mut().now_or_never()?;
            assert!(matches!(refused, Err(SignInRefusal::TooMany(_))), "{refused:?}");
            Some(number)
        })
        .collect();
    assert_eq!(displaced, [SIGN_INS_MAX - 1], "the newest");
    waiting.clear();
    drop(turns);
    assert!(newcomer.await.is_ok());
}

#[tokio::test]
async fn a_user_and_a_peer_sign_in_a_bounded_number_of_times() {
    let world = TestIdentity::new().await;
    let count = async |counter: SignInCounter, times: u64| {
        let now = world.identity.clock.now();
        let count = world
            .identity
            .store
            .write("test.write", move |tx| (0..times).try_for_each(|_| tx.sign_in_count_add(&counter, now).map(drop)));
        count.await.unwrap();
    };
    count(successes_of_user(&ada()), SUCCESSES_MAX - 1).await;
    assert_eq!(world.try_password(peer(1), NAME, PASSWORD).await, Ok(()));
    let refused = world.try_password(peer(2), NAME, PASSWORD).await;
    assert_eq!(refused, Err(SignInRefusal::NameOrPassword), "told no more than a wrong password");
    world.clock.advance(PEER_WINDOW).await;
    count(successes_of_peer(PEER), SUCCESSES_MAX - 1).await;
    assert_eq!(world.try_password(PEER, NAME, PASSWORD).await, Ok(()));
    assert_eq!(world.try_password(PEER, NAME, PASSWORD).await, Err(SignInRefusal::TooMany(PEER_WINDOW)));
    assert_eq!(world.try_password(peer(1), NAME, PASSWORD).await, Ok(()), "from another address");
}

#[tokio::test]
async fn password_checks_are_few_at_a_time_and_use_their_memory_again() {
    let world = TestIdentity::new().await;
    let passwords = &world.identity.passwords;
    let hash = hash(PASSWORD);
    let check = || async { passwords.fits(&passwords.turn().await.unwrap(), PASSWORD, Some(&hash)).await.unwrap() };
    assert!(join_all((0..6).map(|_| check())).await.into_iter().all(|fits| fits));
    assert!(passwords.idle_memory() <= PASSWORD_CHECKS_MAX, "{}", passwords.idle_memory());

    let all = u32::try_from(PASSWORD_CHECKS_MAX).unwrap();
    let under_way = passwords.places.acquire_many(all).await.unwrap();
    let mut check = Box::pin(check());
    assert!(check.as_mut().now_or_never().is_none(), "it waits for its turn");
    drop(under_way);
    assert!(check.await);
}

#[tokio::test]
async fn limits_of_passwords_and_their_hashes() {
    let world = TestIdentity::new().await;
    let turn = world.identity.passwords.turn().await.unwrap();
    let fits =
        async |password: &str, hash: &str| world.identity.passwords.fits(&turn, password, Some(hash)).await.unwrap();
    let longest = "x".repeat(PASSWORD_BYTES_MAX);
    assert!(fits(&longest, &hash(&longest)).await);
    let longer = "x".repeat(PASSWORD_BYTES_MAX + 1);
    assert!(!fits(&longer, &hash(&longer)).await);
    // Parameters that a scenario could bring; none may take more memory or time than a hash of
    // ours.
    let costly = |from: &str, to: &str| hash(PASSWORD).replace(from, to);
    for refused in [costly("m=19456", "m=4194304"), costly("t=2", "t=9"), costly("$argon2id", "$argon3"), "x".into()] {
        assert!(!fits(PASSWORD, &refused).await, "{refused}");
    }
    assert!(fits(PASSWORD, &hash(PASSWORD)).await);
}
