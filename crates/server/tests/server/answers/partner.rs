//! Responses of external partners: agents, deployments and results.

use insta::assert_snapshot;
use serde_json::json;

use super::PARTNERS;
use crate::world::{DESK_1, DESK_2, PARTNER, TestServer, Who};

#[tokio::test]
async fn partner_from_creation_to_removal() {
    let world = TestServer::new().await;
    let body = json!({
        "@odata.type": "#microsoft.graph.cloudPcExternalPartner",
        "partnerId": "FAB00000-0000-4000-8000-000000000009",
        "enableConnection": false,
    });
    let created = world.call(Who::Writer, "POST", &format!("/beta/{PARTNERS}"), Some(body.clone())).await;
    assert_snapshot!(created, @r#"
    201
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    location: https://cloudpc.test/beta/deviceManagement/virtualEndpoint/externalPartners/4edbbf01-5087-4314-8dca-9b0d2a122884
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/externalPartners/$entity",
      "agentSetting": null,
      "connectionStatus": "notAvailable",
      "enableConnection": false,
      "id": "4edbbf01-5087-4314-8dca-9b0d2a122884",
      "lastSyncDateTime": null,
      "partnerId": "FAB00000-0000-4000-8000-000000000009",
      "statusDetails": "The connection to the external partner is disabled"
    }
    "#);
    let path = format!("/beta/{PARTNERS}/{}", created.json()["id"].as_str().unwrap());

    let again = world.call(Who::Writer, "POST", &format!("/beta/{PARTNERS}"), Some(body)).await;
    assert_eq!(again.error(), (409, "nameAlreadyExists".into()));
    assert_eq!(
        world.post(Who::Writer, &format!("{path}/cloudpc.heartbeat")).await.error(),
        (409, "partnerConnectionDisabled".into())
    );

    let update = |enable: bool| Some(json!({"enableConnection": enable}));
    let status = |reply: crate::world::Reply| reply.json()["connectionStatus"].as_str().unwrap().to_owned();
    assert_eq!(status(world.call(Who::Writer, "PATCH", &path, update(true)).await), "available");
    assert_eq!(world.post(Who::Writer, &format!("{path}/cloudpc.heartbeat")).await.status, 204);
    assert_eq!(status(world.get(Who::Reader, &path).await), "healthy");
    world.clock.advance(world.app.heartbeat_silence_max + std::time::Duration::from_secs(1)).await;
    assert_eq!(status(world.get(Who::Reader, &path).await), "unhealthy");
    assert_eq!(status(world.call(Who::Writer, "PATCH", &path, update(false)).await), "notAvailable");

    let mut whole = world.get(Who::Writer, &path).await.json();
    whole.as_object_mut().unwrap().remove("@odata.context");
    assert_eq!(world.call(Who::Writer, "PATCH", &path, Some(whole.clone())).await.status, 200);
    whole["statusDetails"] = json!("all is well");
    assert_snapshot!(world.call(Who::Writer, "PATCH", &path, Some(whole)).await, @r#"
    400
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "error": {
        "code": "BadRequest",
        "innerError": {
          "client-request-id": "00000000-0000-4000-8000-000000000001",
          "date": "2026-03-01T12:15:01",
          "request-id": "00000000-0000-4000-8000-000000000001"
        },
        "message": "An update cannot change the property 'statusDetails'.",
        "target": "statusDetails"
      }
    }
    "#);

    assert_eq!(world.call(Who::Writer, "DELETE", &path, None).await.status, 204);
    assert_eq!(world.get(Who::Writer, &path).await.error(), (404, "ResourceNotFound".into()));
    let audit = world.get(Who::Reader, "/v1.0/deviceManagement/virtualEndpoint/auditEvents").await.rows();
    let types: Vec<_> = audit.iter().map(|row| row["activityType"].as_str().unwrap()).collect();
    assert_snapshot!(types.join("\n"), @"
    Delete CloudPcExternalPartner
    Update CloudPcExternalPartner
    Update CloudPcExternalPartner
    Update CloudPcExternalPartner
    Create CloudPcExternalPartner
    ");
    let first =
        format!("/v1.0/deviceManagement/virtualEndpoint/auditEvents/{}", audit.last().unwrap()["id"].as_str().unwrap());
    assert_snapshot!(world.get(Who::Reader, &first).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/v1.0/$metadata#deviceManagement/virtualEndpoint/auditEvents/$entity",
      "activity": null,
      "activityDateTime": "2026-03-01T12:00:00.0000000Z",
      "activityOperationType": "create",
      "activityResult": "success",
      "activityType": "Create CloudPcExternalPartner",
      "actor": {
        "applicationDisplayName": "writer",
        "applicationId": "10000000-0000-4000-8000-0000000000b1",
        "ipAddress": null,
        "remoteTenantId": null,
        "remoteUserId": null,
        "servicePrincipalName": null,
        "userId": null,
        "userPermissions": [],
        "userPrincipalName": null,
        "userRoleScopeTags": []
      },
      "category": "cloudPC",
      "componentName": "cloudpc",
      "correlationId": "00000000-0000-4000-8000-000000000001",
      "displayName": "Create CloudPcExternalPartner",
      "id": "1",
      "resources": [
        {
          "displayName": "FAB00000-0000-4000-8000-000000000009",
          "modifiedProperties": [
            {
              "displayName": "enableConnection",
              "newValue": "false",
              "oldValue": null
            }
          ],
          "resourceId": "4edbbf01-5087-4314-8dca-9b0d2a122884"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn install_parameters_of_an_agent_are_masked() {
    let world = TestServer::new().await;
    let path = format!("/beta/{PARTNERS}/{PARTNER}");
    let setting = |url: &str| {
        json!({"agentSetting": {
            "agentUrl": url,
            "agentSha256": "AB".repeat(32),
            "installParameters": ["/token", "top-secret"],
            "autoDeploymentEnabled": true,
        }})
    };
    let configure = format!("{path}/configureAgent");
    let reply =
        world.call(Who::Writer, "POST", &configure, Some(setting("https://agents.fabrikam.test/new.exe"))).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    assert_snapshot!(world.get(Who::Reader, &path).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/externalPartners/$entity",
      "agentSetting": {
        "agentSha256": "ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB",
        "agentUrl": "https://agents.fabrikam.test/new.exe",
        "autoDeploymentEnabled": true,
        "installParameters": [
          "***",
          "***"
        ]
      },
      "connectionStatus": "available",
      "enableConnection": true,
      "id": "10000000-0000-4000-8000-00000000fab1",
      "lastSyncDateTime": null,
      "partnerId": "fab00000-0000-4000-8000-000000000001",
      "statusDetails": "The external partner is available"
    }
    "#);
    assert_snapshot!(world.get(Who::Reader, &format!("{path}/retrieveActionReports")).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Collection(microsoft.graph.cloudPcExternalPartnerActionReport)",
      "value": [
        {
          "actionType": "configureAgent",
          "activityId": null,
          "activityMessage": "The agent was configured.",
          "agentName": "new.exe",
          "agentSetting": {
            "agentSha256": "ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB",
            "agentUrl": "https://agents.fabrikam.test/new.exe",
            "autoDeploymentEnabled": true,
            "installParameters": [
              "***",
              "***"
            ]
          },
          "authenticatedAppId": "10000000-0000-4000-8000-0000000000b1",
          "authenticatedAppName": "writer",
          "authenticatedMethod": "appOnly",
          "authenticatedUserPrincipalName": "",
          "cloudPcId": "",
          "cloudPcName": "",
          "createdDateTime": "2026-03-01T12:00:00.0000000Z"
        }
      ]
    }
    "#);
    for wrong in [
        "file:///etc/passwd",
        "https://10.0.0.1/agent.exe",
        "https://127.0.0.1/agent.exe",
        "https://elsewhere.test/agent.exe",
        "https://user:password@agents.fabrikam.test/agent.exe",
        "agent.exe",
        "",
    ] {
        let reply = world.call(Who::Writer, "POST", &configure, Some(setting(wrong))).await;
        assert_eq!(reply.error(), (400, "BadRequest".into()), "{wrong}: {}", reply.body);
        assert_eq!(reply.json()["error"]["target"], "agentSetting/agentUrl");
    }
    let detection = format!("{path}/cloudpc.setDetection");
    for (command, status) in [(json!("agent --version"), 204), (json!(""), 204), (json!(null), 400)] {
        let reply = world.call(Who::Writer, "POST", &detection, Some(json!({"command": command}))).await;
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    let reply = world.call(Who::Writer, "POST", &detection, Some(json!({"command": "agent --version"}))).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    let allow = json!({"urls": ["https://10.0.0.1/agents/"]});
    let allow_urls = format!("{path}/cloudpc.allowUrls");
    let reply = world.call(Who::Writer, "POST", &allow_urls, Some(allow.clone())).await;
    assert_eq!(reply.error(), (403, "Forbidden".into()), "a tenant's administrator must not open the host's network");
    assert_eq!(world.call(Who::Owner, "POST", &allow_urls, Some(allow)).await.status, 204);
    let reply = world.call(Who::Writer, "POST", &configure, Some(setting("https://10.0.0.1/agents/agent.exe"))).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    let (tenant, partner) = ("10000000-0000-4000-8000-000000000001".parse().unwrap(), PARTNER.parse().unwrap());
    let stored = world.app.store.read(move |reader| reader.partner(tenant, partner)).await.unwrap().unwrap();
    assert_eq!(
        stored.agent.unwrap().detection.as_deref(),
        Some("agent --version"),
        "a new agent keeps the detection command"
    );
}

#[tokio::test]
async fn deployment_from_request_to_results() {
    let world = TestServer::new().await;
    let path = format!("/beta/{PARTNERS}/{PARTNER}");
    let ids = json!({"cloudPcIds": [DESK_1, DESK_2, DESK_1, "no such machine"]});
    let deployed = world.call(Who::Writer, "POST", &format!("{path}/deployAgent"), Some(ids)).await;
    assert_snapshot!(deployed, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Edm.String",
      "value": "4edbbf01-5087-4314-8dca-9b0d2a122884"
    }
    "#);
    let activity = deployed.json()["value"].as_str().unwrap().to_owned();
    let results = format!("{path}/retrieveDeployAgentActionResults(activityId='{activity}',cloudPcId='')");
    assert_snapshot!(world.get(Who::Reader, &results).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Collection(microsoft.graph.cloudPcExternalPartnerActionResult)",
      "value": [
        {
          "activityId": "4edbbf01-5087-4314-8dca-9b0d2a122884",
          "cloudPcId": "10000000-0000-4000-8000-0000000000d1",
          "errorCode": "none",
          "errorMessage": "",
          "lastModifiedDateTime": "2026-03-01T12:00:00.0000000Z",
          "startDateTime": "2026-03-01T12:00:00.0000000Z",
          "state": "created"
        },
        {
          "activityId": "4edbbf01-5087-4314-8dca-9b0d2a122884",
          "cloudPcId": "10000000-0000-4000-8000-0000000000d2",
          "errorCode": "none",
          "errorMessage": "",
          "lastModifiedDateTime": "2026-03-01T12:00:00.0000000Z",
          "startDateTime": "2026-03-01T12:00:00.0000000Z",
          "state": "created"
        },
        {
          "activityId": "4edbbf01-5087-4314-8dca-9b0d2a122884",
          "cloudPcId": "no such machine",
          "errorCode": "none",
          "errorMessage": "",
          "lastModifiedDateTime": "2026-03-01T12:00:00.0000000Z",
          "startDateTime": "2026-03-01T12:00:00.0000000Z",
          "state": "created"
        }
      ]
    }
    "#);
    world.run();
    world.rest().await;
    let shown = |rows: Vec<serde_json::Value>| {
        let line = |row: &serde_json::Value| {
            format!("{} {} {} {}", row["cloudPcId"], row["state"], row["errorCode"], row["errorMessage"])
                .replace('"', "")
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(shown(world.get(Who::Reader, &results).await.rows()), @"
    10000000-0000-4000-8000-0000000000d1 succeeded none 
    10000000-0000-4000-8000-0000000000d2 succeeded none 
    no such machine canceled deviceNotFound Cloud PC not found or invalid
    ");
    for (arguments, count) in [
        (format!("(activityId='{activity}',cloudPcId='{DESK_1}')"), 1),
        (format!("(activityId='{activity}'cloudPcId='')"), 3),
        (format!("(activityId='',cloudPcId='{DESK_2}')"), 1),
        ("(activityId='',cloudPcId='')".to_owned(), 3),
        (format!("?activityId={activity}&cloudPcId={DESK_1}"), 1),
        (format!("(activityId='@activityId'cloudPcId='@cloudPcId')?activityId={activity}"), 3),
        (format!("(activityId=@a,cloudPcId=@c)?@a='{activity}'&@c='{DESK_2}'"), 1),
        ("(activityId=null,cloudPcId=null)".to_owned(), 3),
        (format!("(activityId={},cloudPcId=NULL)", activity.to_uppercase()), 3),
        ("(activityId='10000000-0000-4000-8000-0000000000ff',cloudPcId='')".to_owned(), 0),
    ] {
        let reply = world.get(Who::Reader, &format!("{path}/retrieveDeployAgentActionResults{arguments}")).await;
        assert_eq!(reply.rows().len(), count, "{arguments}");
    }
    // A script with an unset variable must not get an empty result.
    for arguments in [
        "(activityId='no%20such%20activity',cloudPcId='')",
        "(activityId=undefined,cloudPcId=null)",
        "(activityId=$activityId,cloudPcId='')",
        "(activityId='null',cloudPcId=null)",
        "(activityId='',cloudPcId='desk-1')",
        "(activityId='',cloudPcId=1)",
        "(activityId='@activityId'cloudPcId='@cloudPcId')?activityId=undefined",
        "?activityId=None",
    ] {
        let reply = world.get(Who::Reader, &format!("{path}/retrieveDeployAgentActionResults{arguments}")).await;
        assert_eq!(reply.error(), (400, "BadRequest".into()), "{arguments}");
    }
    let reports = world.get(Who::Reader, &format!("{path}/retrieveActionReports?$top=1&$count=true")).await;
    assert_snapshot!(reports, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Collection(microsoft.graph.cloudPcExternalPartnerActionReport)",
      "@odata.count": 3,
      "@odata.nextLink": "https://cloudpc.test/beta/deviceManagement/virtualEndpoint/externalPartners/10000000-0000-4000-8000-00000000fab1/retrieveActionReports?$top=1&$count=true&$skiptoken=syzIBIvmGqiCxMwChMmcrDM",
      "value": [
        {
          "actionType": "deployAgent",
          "activityId": "4edbbf01-5087-4314-8dca-9b0d2a122884",
          "activityMessage": "Requested deployment of agent.msi to 'no such machine', which is not a known Cloud PC.",
          "agentName": "agent.msi",
          "agentSetting": null,
          "authenticatedAppId": "10000000-0000-4000-8000-0000000000b1",
          "authenticatedAppName": "writer",
          "authenticatedMethod": "appOnly",
          "authenticatedUserPrincipalName": "",
          "cloudPcId": "no such machine",
          "cloudPcName": "",
          "createdDateTime": "2026-03-01T12:00:00.0000000Z"
        }
      ]
    }
    "#);
    let actions = world.get(Who::Reader, &format!("{path}/cloudpc.activities/{activity}/cloudpc.actions")).await;
    assert_eq!(actions.rows().len(), 3);
    let cancel = world.post(Who::Writer, &format!("{path}/cloudpc.activities/{activity}/cloudpc.cancel")).await;
    assert_eq!(cancel.error(), (409, "tooLateToCancel".into()));
}

#[tokio::test]
async fn waiting_activity_can_be_canceled() {
    let world = TestServer::new().await;
    let path = format!("/beta/{PARTNERS}/{PARTNER}");
    let ids = json!({"cloudPcIds": [DESK_1, DESK_2]});
    let deployed = world.call(Who::Writer, "POST", &format!("{path}/deployAgent"), Some(ids)).await;
    let activity = deployed.json()["value"].as_str().unwrap().to_owned();
    let cancel = format!("{path}/cloudpc.activities/{activity}/cloudpc.cancel");
    assert_snapshot!(world.post(Who::Writer, &cancel).await, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#Edm.Int32",
      "value": 2
    }
    "#);
    let results = world.get(Who::Reader, &format!("{path}/retrieveDeployAgentActionResults")).await.rows();
    assert_eq!(results.iter().filter(|row| row["state"] == "canceled").count(), 2);
}

/// Declarative tools compare sent and received values, and would update a difference again and
/// again.
#[tokio::test]
async fn values_are_returned_in_the_callers_spelling() {
    let world = TestServer::new().await;
    let id = "FAB00000-0000-4000-8000-00000000000A";
    let partner = json!({"PARTNERID": id, "enableConnection": true});
    let created = world.call(Who::Writer, "POST", &format!("/beta/{PARTNERS}"), Some(partner.clone())).await.json();
    assert_eq!(created["partnerId"], id);
    let again = json!({"partnerId": id.to_lowercase(), "enableConnection": true});
    let again = world.call(Who::Writer, "POST", &format!("/beta/{PARTNERS}"), Some(again)).await;
    assert_eq!(again.error(), (409, "nameAlreadyExists".into()));
    let path = format!("/beta/{PARTNERS}/{}", created["id"].as_str().unwrap());
    let setting = json!({
        "agentUrl": "https://Agents.Fabrikam.test:443/A%2Fb/./agent.MSI?x=Y",
        "agentSha256": "AB".repeat(32),
        "autoDeploymentEnabled": true,
    });
    let body = json!({"AgentSetting": setting});
    assert_eq!(world.call(Who::Writer, "POST", &format!("{path}/configureAgent"), Some(body)).await.status, 204);
    let read = world.get(Who::Reader, &path).await.json();
    for name in ["agentUrl", "agentSha256", "autoDeploymentEnabled"] {
        assert_eq!(read["agentSetting"][name], setting[name], "{name}");
    }
    // The same id in another case is not a change.
    let same = json!({"partnerId": id.to_lowercase(), "enableConnection": false});
    assert_eq!(world.call(Who::Writer, "PATCH", &path, Some(same)).await.json()["partnerId"], id);
    let condition = format!("$filter=partnerId%20eq%20'{}'", id.to_lowercase());
    assert_eq!(world.get(Who::Reader, &format!("/beta/{PARTNERS}?{condition}")).await.rows().len(), 1);
}
