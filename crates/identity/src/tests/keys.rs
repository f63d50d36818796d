//! Tests of signing keys.

use super::*;

#[tokio::test]
async fn keys_rotate_and_old_ones_can_be_dropped() {
    let service = TestIdentity::new().await;
    let first = service.app_token().await;
    service.identity.rotate_keys(OldKeys::Retire).await.unwrap();
    let second = service.app_token().await;
    assert_ne!(part(&first, 0)["kid"], part(&second, 0)["kid"]);
    assert_eq!(service.identity.keys().public().keys.len(), 2);
    for token in [&first, &second] {
        assert!(service.identity.authenticate(&bearer_headers(token)).await.is_ok());
    }

    service.identity.rotate_keys(OldKeys::Drop).await.unwrap();
    for token in [&first, &second] {
        assert_eq!(service.refusal(token).await, "The issuer of the access token is not trusted.");
    }
    assert!(service.identity.authenticate(&bearer_headers(&service.app_token().await)).await.is_ok());

    // A retired key is removed once all its tokens have expired.
    service.identity.rotate_keys(OldKeys::Retire).await.unwrap();
    service.clock.advance(REFRESH_LIFETIME).await;
    service.identity.rotate_keys(OldKeys::Retire).await.unwrap();
    assert_eq!(service.identity.keys().public().keys.len(), 2);
}

#[tokio::test]
async fn keys_survive_restarts_and_are_rotated_when_old() {
    let service = TestIdentity::new().await;
    let now = service.clock.now();
    let kid = |keys: &Keys| keys.public().keys[0].common.key_id.clone();
    let made = kid(&service.identity.keys());
    let store = &service.identity.store;
    assert_eq!(kid(&Keys::load(store, now + SIGNING_KEY_AGE_MAX - Duration::from_secs(1)).await.unwrap()), made);
    assert_ne!(kid(&Keys::load(store, now + SIGNING_KEY_AGE_MAX).await.unwrap()), made);
}
