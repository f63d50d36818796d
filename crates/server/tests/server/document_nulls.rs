//! Null in the bodies of documents: it clears a property, empties a collection, and is refused for
//! what is required.

use serde_json::{Value, json};

use crate::world::{TestServer, Who};

const BETA: &str = "/beta/deviceManagement/virtualEndpoint";

async fn created(world: &TestServer, collection: &str, body: Value) -> String {
    let reply = world.call(Who::Ada, "POST", &format!("{BETA}/{collection}"), Some(body)).await;
    assert_eq!(reply.status, 201, "{reply}");
    format!("{BETA}/{collection}/{}", reply.json()["id"].as_str().unwrap())
}

async fn policy(world: &TestServer) -> String {
    let body = json!({
        "displayName": "Policy",
        "imageId": "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc",
        "domainJoinConfigurations": [{"regionName": "automatic"}],
        "windowsSetting": {"locale": "de-DE"},
    });
    created(world, "provisioningPolicies", body).await
}

#[tokio::test]
async fn required_collections_cannot_be_null() {
    let world = TestServer::new().await;
    let policy = policy(&world).await;
    let body = json!({"displayName": "No joins", "imageId": "any", "domainJoinConfigurations": null});
    let attempts = [("POST", format!("{BETA}/provisioningPolicies"), body)];
    let null = json!({"domainJoinConfigurations": null});
    for (method, path, body) in attempts.into_iter().chain([("PATCH", policy, null)]) {
        let refused = world.call(Who::Ada, method, &path, Some(body)).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["error"]["target"]),
            (400, &json!("domainJoinConfigurations"))
        );
    }
}

#[tokio::test]
async fn null_empties_a_collection() {
    let world = TestServer::new().await;
    let setting = json!({"settingDefinitionId": "s", "@odata.type": "#microsoft.graph.cloudPcBooleanSetting"});
    let path = created(&world, "settingProfiles", json!({"displayName": "P", "settings": [setting]})).await;
    let updated = world.call(Who::Ada, "PATCH", &path, Some(json!({"settings": null}))).await;
    assert_eq!((updated.status.as_u16(), &updated.json()["settings"]), (200, &json!([])));

    let network = json!({
        "@odata.type": "#microsoft.graph.cloudPcMicrosoftHostedNetworkConfiguration",
        "regionGroups": [{"regionGroup": "usWest"}],
    });
    let image = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc";
    let pool = json!({"displayName": "P", "cloudPcConfiguration": {"imageId": image}, "networkConfiguration": network});
    let path = created(&world, "cloudPcPools", pool).await;
    let mut emptied = network.clone();
    emptied["regionGroups"] = Value::Null;
    let updated = world.call(Who::Ada, "PATCH", &path, Some(json!({"networkConfiguration": emptied}))).await;
    assert_eq!((updated.status.as_u16(), &updated.json()["networkConfiguration"]["regionGroups"]), (200, &json!([])));
}

#[tokio::test]
async fn null_clears_by_an_older_name() {
    let world = TestServer::new().await;
    let path = policy(&world).await;
    for null in [json!({"windowsSettings": null}), json!({"windowsSettings": {"language": null}})] {
        let other = json!({"windowsSetting": {"locale": "fr-FR"}});
        assert_eq!(world.call(Who::Ada, "PATCH", &path, Some(other)).await.status, 200);
        let updated = world.call(Who::Ada, "PATCH", &path, Some(null)).await.json();
        assert_eq!(updated["windowsSetting"], json!({"locale": "en-US"}));
    }
    let both = json!({"windowsSettings": null, "windowsSetting": {"locale": "fr-FR"}});
    let updated = world.call(Who::Ada, "PATCH", &path, Some(both)).await.json();
    assert_eq!(updated["windowsSetting"], json!({"locale": "fr-FR"}), "the newest name counts");

    let points = json!({"displayName": "S", "restorePointSetting": {"frequencyType": "sixHours"}});
    let path = created(&world, "userSettings", points).await;
    let null = json!({"restorePointSetting": {"frequencyInHours": null}});
    let updated = world.call(Who::Ada, "PATCH", &path, Some(null)).await.json();
    assert_eq!(updated["restorePointSetting"]["frequencyType"], "default");
}
