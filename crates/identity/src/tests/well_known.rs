//! Tests of what Microsoft's cloud has without registration, and of client assertions.

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use super::*;
use crate::assertion::ASSERTION_TYPE;
use crate::check_certificate;

const AZURE_CLI: AppId = AppId(Uuid::from_u128(0x04b0_7795_8ddb_461a_bbee_02f9_e1bf_7b46));

#[tokio::test]
async fn a_token_for_azure_resource_manager_is_issued_and_opens_nothing_here() {
    let service = TestIdentity::new().await;
    for audience in [
        "https://management.azure.com",
        "https://management.azure.com/",
        "https://management.core.windows.net",
        "https://management.core.windows.net/",
    ] {
        let scope = format!("{audience}/.default");
        let answer = service.client_credentials(&[("scope", &scope)]).await.unwrap();
        let token = answer["access_token"].as_str().unwrap();
        let claims = part(token, 1);
        assert_eq!((&claims["aud"], &claims["roles"]), (&json!(audience), &Value::Null));
        assert_eq!(service.refusal(token).await, "The access token is for another audience.");
    }
}

#[tokio::test]
async fn clients_of_microsoft_exist_in_every_tenant_unless_turned_off_or_registered() {
    let mut service = TestIdentity::new().await;
    let tenant = crate::directory::TenantPath::One(TENANT);
    let client = service.identity.public_client(tenant, &AZURE_CLI.to_string()).await.unwrap();
    assert_eq!((client.name.as_str(), client.permissions), ("Microsoft Azure CLI", None));

    service.change(Application { id: AZURE_CLI, enabled: false, ..application() }, ada()).await;
    assert!(service.identity.public_client(tenant, &AZURE_CLI.to_string()).await.is_err(), "disabled in the tenant");
    service.change(Application { id: AZURE_CLI, name: "Ours".into(), ..application() }, ada()).await;
    let client = service.identity.public_client(tenant, &AZURE_CLI.to_string()).await.unwrap();
    assert_eq!(client.permissions, Some(vec!["CloudPC.ReadWrite.All".to_owned()]), "limited by the tenant");

    service.identity.well_known_clients = false;
    let other = crate::directory::TenantPath::One(OTHER_TENANT);
    assert!(service.identity.public_client(other, &AZURE_CLI.to_string()).await.is_err(), "turned off");
    assert!(service.identity.public_client(other, &BUILT_IN_CLIENT.to_string()).await.is_ok());
}

#[tokio::test]
async fn an_application_signs_in_with_the_key_of_its_certificate() {
    let service = TestIdentity::new().await;
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let certificate = CertificateParams::new(vec!["ci.test".into()]).unwrap().self_signed(&key).unwrap();
    let der = certificate.der().to_vec();
    check_certificate(&der).unwrap();
    let stored = der.clone();
    service
        .identity
        .store
        .write("test.write", move |tx| tx.app_certificate_put(TENANT, CLIENT, &stored))
        .await
        .unwrap();
    let other = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let now = START.unix_seconds();
    let endpoint = format!("https://127.0.0.1:8366/{TENANT}/oauth2/v2.0/token");
    let good = json!({ "iss": CLIENT, "sub": CLIENT, "aud": endpoint, "nbf": now, "exp": now + 600 });
    let ask = async |key: &KeyPair, changes: Value| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes()).unwrap();
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::PS256);
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        let form =
            [("client_secret", ""), ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", token.as_str())];
        service.client_credentials(&form).await
    };
    assert!(ask(&key, json!({})).await.is_ok());
    assert!(ask(&key, json!({ "exp": now as f64 + 0.5 })).await.is_ok(), "a time with a fraction");
    assert_eq!(ask(&other, json!({})).await.unwrap_err().number, 700_027, "another key");
    for wrong in [
        json!({ "aud": "https://login.microsoftonline.com/common/oauth2/v2.0/token" }),
        json!({ "iss": ADA }),
        json!({ "sub": ADA }),
        json!({ "exp": now }),
        json!({ "nbf": now + 61 }),
    ] {
        assert_eq!(ask(&key, wrong.clone()).await.unwrap_err().number, 700_027, "{wrong}");
    }
}

#[test]
fn certificates_are_checked_before_they_are_stored() {
    let key = KeyPair::generate().unwrap();
    let elliptic = CertificateParams::new(vec!["ci.test".into()]).unwrap().self_signed(&key).unwrap();
    assert_eq!(
        check_certificate(elliptic.der()).unwrap_err(),
        "The key of the certificate is not RSA. Use a certificate with an RSA key."
    );
    assert_eq!(check_certificate(b"text").unwrap_err(), "The certificate is not X.509.");
    let long = vec![0; CERTIFICATE_BYTES_MAX + 1];
    assert_eq!(check_certificate(&long).unwrap_err(), "The certificate has 8193 bytes. The maximum is 8192.");
}

#[tokio::test]
async fn instance_discovery_knows_the_authorities_of_this_server_only() {
    let service = TestIdentity::new().await;
    let ask = |endpoint: &str| service.identity.instances(&base(), endpoint);
    let entra = ask("https://login.microsoftonline.com/organizations/v2.0/oauth2/authorize").unwrap();
    assert_eq!(
        entra["tenant_discovery_endpoint"],
        "https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration"
    );
    assert_eq!(entra["metadata"][0]["preferred_network"], "login.microsoftonline.com");
    let own = ask("https://127.0.0.1:8366/common/oauth2/authorize").unwrap();
    assert_eq!(own["metadata"][0]["aliases"], json!(["127.0.0.1:8366"]));
    for foreign in
        ["https://login.evil.test/common/oauth2/authorize", "https://login.microsoftonline.com.evil.test/", ""]
    {
        assert_eq!(ask(foreign).unwrap_err().error, "invalid_instance", "{foreign}");
    }
}

#[tokio::test]
async fn sign_in_pages_are_opened_at_the_services_own_address() {
    let service = TestIdentity::new().await;
    let at = |base: &str| service.identity.page_base(&BaseAddress(base.into())).0.to_string();
    assert_eq!(at("https://login.microsoftonline.com"), "http://127.0.0.1:8365");
    assert_eq!(at("https://cloudpc.test:8366"), "https://cloudpc.test:8366");
}
