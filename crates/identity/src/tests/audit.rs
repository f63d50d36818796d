//! Tests of the audit rows of sign-ins and their bounds.

use super::super::audit::{FAILURE_ROWS_MAX, Principal, SignInSource, TENANT_FAILURE_ROWS_MAX};
use super::device::NAME;
use super::*;
use cloudpc_model::AuditEntry;

impl TestIdentity {
    async fn audit(&self, tenant: TenantId) -> Vec<AuditEntry> {
        let list = self.identity.store.read(move |reader| Ok::<_, Error>(reader.audit_list(tenant, None, 9_999)?));
        let mut rows = list.await.unwrap();
        rows.reverse();
        rows
    }

    async fn audit_lines(&self, tenant: TenantId) -> String {
        let line = |row: &AuditEntry| {
            let details: Vec<String> =
                row.changes.iter().map(|change| format!("{}={}", change.name, change.new)).collect();
            let by = format!("{}{}", row.actor.app_name, row.actor.user_principal_name);
            format!(
                "{} {:?} {} by {by:?} from {:?}: {:?} {}\n",
                row.activity(),
                row.resource.id,
                row.resource.display_name,
                row.actor.ip_address,
                row.result,
                details.join(" ")
            )
        };
        self.audit(tenant).await.iter().map(|row| line(row).replace(" \n", "\n")).collect()
    }
}

#[tokio::test]
async fn every_sign_in_result_is_audited() {
    let service = TestIdentity::new().await;
    let sign_in = async |name: &str, password: &str| {
        let started = service.start().await;
        let _ = service.sign_in(&started.user_code, name, password).await;
        started
    };
    sign_in(NAME, "guess").await;
    sign_in("secret-typed-as-name", "guess").await;
    let started = sign_in(NAME, PASSWORD).await;
    let answer = service.poll(&started).await.unwrap();
    service.client_credentials(&[]).await.unwrap();
    for changes in [("client_secret", "wrong"), ("client_id", "00000000-0000-0000-0000-000000000009")] {
        service.client_credentials(&[changes]).await.unwrap_err();
    }
    let refresh = async |client: &str| {
        service.refresh("common", client, answer["refresh_token"].as_str().unwrap()).await.unwrap_err();
    };
    let client = BUILT_IN_CLIENT.to_string();
    refresh(&CLIENT.to_string()).await;
    service.change(application(), User { password_hash: Some(hash("another")), ..ada() }).await;
    refresh(&client).await;
    service.change(application(), User { enabled: false, ..ada() }).await;
    refresh(&client).await;
    sign_in(NAME, PASSWORD).await;
    service
        .change(Application { enabled: false, secret_hash: Some(Sha256::digest("x").into()), ..application() }, ada())
        .await;
    service.client_credentials(&[("client_secret", "x")]).await.unwrap_err();
    insta::assert_snapshot!(service.audit_lines(TENANT).await, @r#"
    SignIn User "00000000-0000-0000-0000-000000000003" ada@contoso.test by "" from Some(192.0.2.1): ClientError errorCode=wrongPassword failuresInLastDay=1
    SignIn User "00000000-0000-0000-0000-000000000003" ada@contoso.test by "cloudpc command lineada@contoso.test" from Some(192.0.2.1): Success
    SignIn Application "00000000-0000-0000-0000-000000000002" Rollout by "" from Some(192.0.2.1): ClientError errorCode=wrongSecret failuresInLastDay=1
    SignIn Application ""  by "" from Some(192.0.2.1): ClientError errorCode=unknownApplication failuresInLastDay=1
    SignIn User "00000000-0000-0000-0000-000000000003" ada@contoso.test by "" from Some(192.0.2.1): ClientError errorCode=otherClient failuresInLastDay=2
    SignIn User "00000000-0000-0000-0000-000000000003" ada@contoso.test by "" from Some(192.0.2.1): ClientError errorCode=passwordChanged failuresInLastDay=3
    SignIn User "00000000-0000-0000-0000-000000000003" ada@contoso.test by "" from Some(192.0.2.1): ClientError errorCode=userDisabled failuresInLastDay=4
    SignIn User "00000000-0000-0000-0000-000000000003" ada@contoso.test by "" from Some(192.0.2.1): ClientError errorCode=userDisabled failuresInLastDay=5
    SignIn Application "00000000-0000-0000-0000-000000000002" Rollout by "" from Some(192.0.2.1): ClientError errorCode=applicationDisabled failuresInLastDay=2
    "#);
    insta::assert_snapshot!(service.audit_lines(TenantId::INSTALLATION).await, @r#"SignIn User ""  by "" from Some(192.0.2.1): ClientError errorCode=unknownUser failuresInLastDay=1"#);
}

#[tokio::test]
async fn failure_rows_are_bounded_and_hold_the_count() {
    let service = TestIdentity::new().await;
    let source = SignInSource { peer: PEER, request_id: "r".into(), at: service.identity.clock.now() };
    let fail = async |user: u128, times: u64| {
        let (source, user) = (source.clone(), User { id: UserId(Uuid::from_u128(user)), ..ada() });
        let fail = service.identity.store.write("test.write", move |tx| {
            (0..times).try_for_each(|_| source.failed(tx, Some(TENANT), Principal::User(&user), "wrongPassword"))
        });
        fail.await.unwrap();
    };
    fail(1, 5_000).await;
    let counts: Vec<String> =
        service.audit(TENANT).await.iter().map(|row| row.changes.last().unwrap().new.clone()).collect();
    let doublings = ["16", "32", "64", "128", "256", "512", "1024", "2048", "4096"].map(str::to_owned);
    let expected: Vec<String> = (1..=FAILURE_ROWS_MAX).map(|number| number.to_string()).chain(doublings).collect();
    assert_eq!(counts, expected);

    // Failures 1, 2, 4 and 8 always have a row, the others within the tenant's bound.
    for user in 2..=200 {
        fail(user, FAILURE_ROWS_MAX).await;
    }
    let in_any_case = 13 + 199 * 4;
    let rows = service.audit(TENANT).await.len() as u64;
    assert_eq!(rows, in_any_case + TENANT_FAILURE_ROWS_MAX + 1, "one more row at the 1,024th failure");
}

#[tokio::test]
async fn failures_of_one_application_do_not_hide_those_of_another() {
    let service = TestIdentity::new().await;
    let source = SignInSource { peer: PEER, request_id: "r".into(), at: service.identity.clock.now() };
    let fail = async |app: u128, times: u64| {
        let (source, app) = (source.clone(), Application { id: AppId(Uuid::from_u128(app)), ..application() });
        let fail = service.identity.store.write("test.write", move |tx| {
            (0..times).try_for_each(|_| source.failed(tx, Some(TENANT), Principal::App(&app), "wrongSecret"))
        });
        fail.await.unwrap();
    };
    for app in 1_000..1_000 + TENANT_FAILURE_ROWS_MAX / 5 {
        fail(app.into(), FAILURE_ROWS_MAX).await;
    }
    fail(1, FAILURE_ROWS_MAX).await;
    let id = AppId(Uuid::from_u128(1)).to_string();
    let rows = service.audit(TENANT).await;
    let counts = rows.iter().filter(|row| row.resource.id == id).map(|row| row.changes.last().unwrap().new.as_str());
    assert_eq!(counts.collect::<Vec<_>>(), ["1", "2", "4", "8"]);
}
