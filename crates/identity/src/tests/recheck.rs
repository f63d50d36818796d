//! Tests of rechecking a caller after its request.

use super::*;

async fn caller(service: &TestIdentity, token: &str) -> Caller {
    (*service.identity.authenticate(&bearer_headers(token)).await.unwrap()).clone()
}

fn is_rejected(result: &Result<Caller, AuthenticationError>) -> bool {
    matches!(result, Err(AuthenticationError::Rejected(_)))
}

#[tokio::test]
async fn recheck_removes_revoked_permissions() {
    let service = TestIdentity::new().await;
    let (app, user) =
        (caller(&service, &service.app_token().await).await, caller(&service, &service.user_token().await).await);
    let recheck = async |caller: &Caller| service.identity.recheck(caller).await;
    assert_eq!(recheck(&app).await.unwrap(), app);
    assert_eq!(recheck(&user).await.unwrap(), user);
    service.clock.advance(TOKEN_LIFETIME).await;
    assert_eq!(recheck(&app).await.unwrap(), app, "unchanged while the application keeps its permissions");

    let other = vec!["CloudPC.Read.All".to_owned()];
    service
        .change(Application { permissions: other.clone(), ..application() }, User { permissions: other, ..ada() })
        .await;
    assert_eq!(recheck(&app).await.unwrap().permissions, BTreeSet::new(), "new permissions are not added");
    assert_eq!(recheck(&user).await.unwrap().permissions, BTreeSet::from(["CloudPC.Read.All".into()]));
    service.change(Application { enabled: false, ..application() }, User { enabled: false, ..ada() }).await;
    for caller in [&app, &user] {
        assert!(is_rejected(&recheck(caller).await));
    }
}

#[tokio::test]
async fn recheck_fails_after_the_signing_key_is_dropped() {
    let service = TestIdentity::new().await;
    let app = caller(&service, &service.app_token().await).await;
    let mut changes = service.identity.watch();
    service.identity.rotate_keys(OldKeys::Retire).await.unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert_eq!(service.identity.recheck(&app).await.unwrap(), app);
    service.identity.rotate_keys(OldKeys::Drop).await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert!(is_rejected(&service.identity.recheck(&app).await));
}

#[tokio::test]
async fn recheck_fails_after_an_outside_token_expires_or_its_issuer_is_removed() {
    let config = IssuerConfig { issuer: "https://idp.test".into(), audience: "cloudpc".into(), tenant: TENANT };
    let service = TestIdentity::trusting(vec![config]).await;
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
    assert_eq!(service.identity.recheck(&good).await.as_ref(), Ok(&good));
    for other in [outside("https://other.test", TENANT), outside("https://idp.test", OTHER_TENANT)] {
        assert!(is_rejected(&service.identity.recheck(&other).await));
    }
    service.clock.advance(Duration::from_secs(60)).await;
    assert!(is_rejected(&service.identity.recheck(&good).await), "expired");
}
