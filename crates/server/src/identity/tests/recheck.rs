//! A caller is looked at again long after its request: what it has lost, and what its token rested
//! on.

use super::*;

async fn caller(world: &TestIdentity, token: &str) -> Caller {
    (*world.identity.authenticate(&bearing(token)).await.unwrap()).clone()
}

#[tokio::test]
async fn a_caller_has_what_is_left_of_its_permissions() {
    let world = TestIdentity::new().await;
    let (app, user) = (caller(&world, &world.app_token().await).await, caller(&world, &world.user_token().await).await);
    let recheck = async |caller: &Caller| world.identity.recheck(caller).await;
    assert_eq!(recheck(&app).await.unwrap(), app);
    assert_eq!(recheck(&user).await.unwrap(), user);
    world.clock.advance(TOKEN_LIFETIME).await;
    assert_eq!(recheck(&app).await.unwrap(), app, "as long as the application keeps its permissions");

    let other = vec!["CloudPC.Read.All".to_owned()];
    world
        .change(Application { permissions: other.clone(), ..application() }, User { permissions: other, ..ada() })
        .await;
    assert_eq!(recheck(&app).await.unwrap().permissions, BTreeSet::new(), "a caller gains nothing");
    assert_eq!(recheck(&user).await.unwrap().permissions, BTreeSet::from(["CloudPC.Read.All".into()]));
    world.change(Application { enabled: false, ..application() }, User { enabled: false, ..ada() }).await;
    for caller in [&app, &user] {
        assert_eq!(recheck(caller).await.unwrap_err().status, 401);
    }
}

#[tokio::test]
async fn a_caller_lasts_as_long_as_the_key_of_its_token() {
    let world = TestIdentity::new().await;
    let app = caller(&world, &world.app_token().await).await;
    let mut changes = world.identity.watch();
    world.identity.rotate_keys(OldKeys::Retire).await.unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert_eq!(world.identity.recheck(&app).await.unwrap(), app);
    world.identity.rotate_keys(OldKeys::Drop).await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!(world.identity.recheck(&app).await.unwrap_err().status, 401);
}

#[tokio::test]
async fn a_caller_of_an_outside_issuer_lasts_as_long_as_its_token_and_issuer() {
    let config = IssuerConfig { issuer: "https://idp.test".into(), audience: "cloudpc".into(), tenant: TENANT };
    let world = TestIdentity::trusting(vec![config]).await;
    let outside = |issuer: &str, tenant_id| Caller {
        tenant_id,
        app_id: Some(CLIENT),
        app_name: "Rollout".into(),
        user: None,
        permissions: BTreeSet::from(["CloudPC.Read.All".into()]),
        origin: TokenOrigin::Outside { issuer: issuer.into(), expires_at: START + Duration::from_secs(60) },
        is_owner: false,
    };
    let good = outside("https://idp.test", TENANT);
    let status = async |caller: &Caller| world.identity.recheck(caller).await.err().map(|error| error.status);
    assert_eq!(status(&good).await, None);
    assert_eq!(status(&outside("https://other.test", TENANT)).await, Some(401));
    assert_eq!(status(&outside("https://idp.test", OTHER_TENANT)).await, Some(401));
    world.clock.advance(Duration::from_secs(60)).await;
    assert_eq!(status(&good).await, Some(401), "expired");
}
