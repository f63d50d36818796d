//! Limits of entities and requests, each at its limit and beyond.

use cloudpc_engine::ALERT_RULES_MAX;
use cloudpc_model::{Document, DocumentKey, DocumentType, TenantId};
use cloudpc_server::documents;
use cloudpc_store::{DocumentIndex, StoreError, Tx};
use serde_json::{Value, json};

use crate::world::{OWNER_TENANT, TestServer, Who};

const ENDPOINT: &str = "/beta/deviceManagement/virtualEndpoint";
const IMAGE: &str = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc";

/// Copies a document until there are this many of its kind.
fn fill(tx: &mut Tx<'_>, kind: DocumentType, most: u64) -> Result<(), StoreError> {
    let tenant: TenantId = OWNER_TENANT.parse().unwrap();
    let first = tx.document_list(tenant, kind, "", None, 1)?.remove(0);
    for number in tx.document_count(tenant, kind, "")?..most {
        let key = DocumentKey::new(kind, &format!("copy {number}"));
        let written = tx.document_insert(&Document { key, ..first.clone() }, &DocumentIndex::default())?;
        written.unwrap();
    }
    Ok(())
}

#[tokio::test]
async fn a_tenant_has_up_to_a_hundred_entities_of_a_small_kind() {
    let world = TestServer::new().await;
    let schedule = json!({"scheduleType": "weekend", "startTime": "00:00:00", "endTime": "00:00:00"});
    let rule = json!({"alertRuleTemplate": "cloudPcProvisionScenario", "threshold": {"operator": "greaterOrEqual", "target": 1}});
    for (kind, path, body) in [
        (
            DocumentType::CloudPcMaintenanceWindow,
            format!("{ENDPOINT}/maintenanceWindows"),
            json!({"schedules": [schedule]}),
        ),
        (DocumentType::CloudPcSettingProfile, format!("{ENDPOINT}/settingProfiles"), json!({})),
        (
            DocumentType::CloudPcPool,
            format!("{ENDPOINT}/cloudPcPools"),
            json!({"cloudPcConfiguration": {"imageId": IMAGE}}),
        ),
        (DocumentType::AlertRule, "/beta/deviceManagement/monitoring/alertRules".to_owned(), rule),
    ] {
        let most = documents::KINDS.iter().find(|known| known.of == kind).unwrap().rows_max;
        assert_eq!(most, ALERT_RULES_MAX, "{kind:?}: all of them have the same limit");
        let create = async |name: &str| {
            let mut body = body.clone();
            body["displayName"] = json!(name);
            world.call(Who::Writer, "POST", &path, Some(body)).await
        };
        let first = create("First").await;
        assert_eq!(first.status, 201, "{first}");
        world.app.store.write("test.write", move |tx| fill(tx, kind, most - 1)).await.unwrap();
        let last = create("Last").await;
        assert_eq!(last.status, 201, "{last}");
        let beyond = create("Beyond").await;
        assert_eq!(beyond.error(), (403, "quotaLimitReached".into()), "{kind:?}");
        let one = format!("{path}/{}", last.json()["id"].as_str().unwrap());
        assert_eq!(world.call(Who::Writer, "DELETE", &one, None).await.status, 204);
        assert_eq!(create("Beyond").await.status, 201, "there is room again");
    }
}

#[tokio::test]
async fn a_request_names_up_to_500_profiles_of_user_settings() {
    let world = TestServer::new().await;
    let joins = json!([{"domainJoinType": "azureADJoin", "regionName": "automatic"}]);
    let body = json!({"displayName": "Desks", "imageId": IMAGE, "domainJoinConfigurations": joins});
    let policies = format!("{ENDPOINT}/provisioningPolicies");
    let policy = world.call(Who::Writer, "POST", &policies, Some(body)).await.json()["id"].clone();
    let group = json!({"displayName": "Desks", "mailEnabled": false, "mailNickname": "desks", "securityEnabled": true});
    let group = world.call(Who::Ada, "POST", "/beta/groups", Some(group)).await.json()["id"].clone();
    let kind = "#microsoft.graph.cloudPcManagementGroupAssignmentTarget";
    let body = json!({"target": {"@odata.type": kind, "groupId": group}});
    let assignments = format!("{policies}/{}/assignments", policy.as_str().unwrap());
    let assignment = world.call(Who::Writer, "POST", &assignments, Some(body)).await.json()["id"].clone();
    let action = "userSettingsPersistenceDetail/batchCleanupUserSettingsPersistenceProfile";
    let path = format!("{assignments}/{}/{action}", assignment.as_str().unwrap());
    let refused = async |count: usize| {
        let ids: Vec<Value> = (0..count).map(|_| json!("10000000-0000-4000-8000-0000000000d1")).collect();
        let body = json!({"configurationId": policy, "cloudProfileIds": ids});
        let reply = world.call(Who::Writer, "POST", &path, Some(body)).await;
        reply.body.contains("at most 500 are allowed")
    };
    assert!(!refused(500).await);
    assert!(refused(501).await);
}
