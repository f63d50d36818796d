//! Federation: a server accepts the tokens of another one, found by discovery over HTTP, like those
//! of any external issuer.

use cloudpc_server::config::Config;
use cloudpc_server::start::{AdminFile, DriverKind, Server, StartOptions};
use http::StatusCode;
use serde_json::Value;
use std::net::SocketAddr;
use tempfile::TempDir;

async fn start(data: &TempDir, config: Config) -> Server {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let data = data.path().to_owned();
    Server::start(StartOptions {
        data,
        listen: Some(any),
        tls_listen: None,
        config,
        scenario: None,
        driver: DriverKind::Sim,
        proxy: None,
    })
    .await
    .unwrap()
}

fn admin(data: &TempDir) -> AdminFile {
    serde_json::from_slice(&std::fs::read(data.path().join("admin.json")).unwrap()).unwrap()
}

/// Requests a token for the administrator's application.
async fn token(admin: &AdminFile) -> String {
    let address = format!("{}/{}/oauth2/v2.0/token", admin.http_url.as_ref().unwrap(), admin.tenant_id);
    let form = [
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", admin.client_id.to_string()),
        ("client_secret", admin.client_secret.clone()),
        ("scope", "https://graph.microsoft.com/.default".to_owned()),
    ];
    let answer: Value = reqwest::Client::new().post(address).form(&form).send().await.unwrap().json().await.unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn status(admin: &AdminFile, token: &str) -> StatusCode {
    let address = format!("{}/beta/deviceManagement/virtualEndpoint/cloudPCs", admin.http_url.as_ref().unwrap());
    reqwest::Client::new().get(address).bearer_auth(token).send().await.unwrap().status()
}

#[tokio::test]
async fn tokens_of_a_configured_issuer_are_accepted() {
    let (home, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let issuer = start(&home, Config::default()).await;
    let issuer_admin = admin(&home);
    let token = token(&issuer_admin).await;
    assert_eq!(status(&issuer_admin, &token).await, 200);

    let relying = start(&away, Config::default()).await;
    let tenant = admin(&away).tenant_id;
    assert_eq!(status(&admin(&away), &token).await, 401, "the issuer is not configured");
    relying.stop().await;

    let trust = format!(
        "[[identity.issuers]]\nissuer = \"{}/{}/v2.0\"\naudience = \"https://graph.microsoft.com\"\ntenant = \"{tenant}\"\n",
        issuer_admin.http_url.as_ref().unwrap(),
        issuer_admin.tenant_id
    );
    let relying = start(&away, Config::parse(&trust).unwrap()).await;
    assert_eq!(status(&admin(&away), &token).await, 200);
    // Trust is not mutual.
    let theirs = self::token(&admin(&away)).await;
    assert_eq!(status(&issuer_admin, &theirs).await, 401);
    issuer.stop().await;
    assert_eq!(status(&admin(&away), &token).await, 200, "keys are cached while the issuer is down");
    relying.stop().await;
}
