//! The signing keys over time.

use super::*;

#[tokio::test]
async fn keys_rotate_and_old_ones_can_be_dropped() {
    let world = TestIdentity::new().await;
    let first = world.app_token().await;
    world.identity.rotate_keys(OldKeys::Retire).await.unwrap();
    let second = world.app_token().await;
    assert_ne!(part(&first, 0)["kid"], part(&second, 0)["kid"]);
    assert_eq!(world.identity.keys().public().keys.len(), 2);
    for token in [&first, &second] {
        assert!(world.identity.authenticate(&bearing(token)).await.is_ok());
    }

    world.identity.rotate_keys(OldKeys::Drop).await.unwrap();
    for token in [&first, &second] {
        assert_eq!(world.refusal(token).await, "The access token is signed by nobody who is trusted here.");
    }
    assert!(world.identity.authenticate(&bearing(&world.app_token().await)).await.is_ok());

    // A retired key goes when nothing that it has signed can still be good.
    world.identity.rotate_keys(OldKeys::Retire).await.unwrap();
    world.clock.advance(REFRESH_LIFETIME).await;
    world.identity.rotate_keys(OldKeys::Retire).await.unwrap();
    assert_eq!(world.identity.keys().public().keys.len(), 2);
}

#[tokio::test]
async fn keys_outlive_the_process_until_they_are_old() {
    let world = TestIdentity::new().await;
    let now = world.clock.now();
    let kid = |keys: &Keys| keys.public().keys[0].common.key_id.clone();
    let made = kid(&world.identity.keys());
    let store = &world.identity.store;
    assert_eq!(kid(&Keys::load(store, now + SIGNING_KEY_AGE_MAX - Duration::from_secs(1)).await.unwrap()), made);
    assert_ne!(kid(&Keys::load(store, now + SIGNING_KEY_AGE_MAX).await.unwrap()), made);
}
