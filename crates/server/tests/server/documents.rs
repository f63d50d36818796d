//! Documents: what every kind of configuration entity does, and what some mean.

use cloudpc_model::GroupId;
use cloudpc_server::config::{Config, Fidelity};
use cloudpc_store::{Group, Tx};
use http::Request;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::document_cases::add_frontline_subscription;
use crate::world::{OWNER_TENANT, Reply, START, TestServer, Who};

const BETA: &str = "/beta/deviceManagement/virtualEndpoint";
const V1: &str = "/v1.0/deviceManagement/virtualEndpoint";
const WINDOWS_11: &str = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc";
const GROUP: &str = "0a000000-0000-4000-8000-000000000001";
const OTHER_GROUP: &str = "0A000000-0000-4000-8000-00000000000B";
const PLAN: &str = "10000000-0000-4000-8000-0000000000c2";

/// A server whose first tenant has the groups that these tests assign to.
async fn server(config: Config) -> TestServer {
    let world = TestServer::with(config).await;
    let many = (0..201).map(|n| format!("0a000000-0000-4000-8000-{n:012}"));
    let ids: Vec<GroupId> = many.chain([OTHER_GROUP.to_owned()]).map(|id| id.parse().unwrap()).collect();
    let write = move |tx: &mut Tx<'_>| {
        ids.iter().try_for_each(|id| {
            tx.group_put(&Group {
                tenant_id: OWNER_TENANT.parse().unwrap(),
                id: *id,
                display_name: "Team".into(),
                description: None,
                mail_nickname: "team".into(),
                mail_enabled: false,
                security_enabled: true,
                created_at: START,
            })
        })
    };
    world.app.store.write("test.write", write).await.unwrap();
    world
}

fn policy(name: &str) -> Value {
    json!({
        "displayName": name,
        "imageId": WINDOWS_11,
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic", "regionGroup": "usWest"}],
    })
}

fn targets(groups: &[&str]) -> Value {
    json!({"assignments": groups.iter().map(|group| json!({"target": {"groupId": group}})).collect::<Vec<_>>()})
}

fn told(reply: &Reply) -> String {
    let error = &reply.json()["error"];
    let text = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
    format!("{} {} [{}] {}\n", reply.status.as_u16(), text("code"), text("target"), text("message"))
}

async fn create(world: &TestServer, collection: &str, body: Value) -> Value {
    let reply = world.call(Who::Writer, "POST", &format!("{BETA}/{collection}"), Some(body)).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.json()
}

fn id(entity: &Value) -> &str {
    entity["id"].as_str().unwrap()
}

async fn with_headers(
    world: &TestServer,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Reply {
    let token = world.token(Who::Writer).await;
    let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    world.send(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_policy_from_its_creation_to_its_end() {
    let world = server(Config::default()).await;
    let created = world.call(Who::Writer, "POST", &format!("{BETA}/provisioningPolicies"), Some(policy("Desks"))).await;
    let made = created.json();
    let masked = created.body.replace(id(&made), "ID");
    assert_snapshot!(serde_json::to_string_pretty(&serde_json::from_str::<Value>(&masked).unwrap()).unwrap());
    assert!(created.headers["location"].to_str().unwrap().ends_with(id(&made)));
    assert_eq!(created.headers["etag"], "W/\"1\"");

    let one = format!("{BETA}/provisioningPolicies/{}", id(&made));
    let read = world.get(Who::Reader, &one).await;
    assert_eq!((read.headers["etag"].clone(), read.json()), (created.headers["etag"].clone(), made.clone()));
    assert!(!read.body.contains("@odata.etag"));
    let upper = format!("{BETA}/provisioningPolicies/{}", id(&made).to_uppercase());
    assert_eq!(world.get(Who::Reader, &upper).await.json()["id"], made["id"], "ids are the same in any case");

    let patch =
        json!({"description": "For the office", "localAdminEnabled": true, "windowsSetting": {"locale": "de-DE"}});
    let updated = world.call(Who::Writer, "PATCH", &one, Some(patch)).await;
    assert_eq!(updated.headers["etag"], "W/\"2\"");
    assert_eq!(updated.json()["windowsSettings"], json!({"language": "de-DE"}), "the older name follows");
    let cleared = json!({"description": null, "localAdminEnabled": null, "windowsSetting": null});
    let cleared = world.call(Who::Writer, "PATCH", &one, Some(cleared)).await.json();
    assert_eq!(
        (&cleared["description"], &cleared["localAdminEnabled"], &cleared["windowsSetting"]),
        (&Value::Null, &json!(false), &json!({"locale": "en-US"})),
        "null clears, or resets to the default"
    );

    assert_eq!(world.call(Who::Writer, "POST", &format!("{one}/assign"), Some(targets(&[GROUP]))).await.status, 204);
    assert_snapshot!(told(&world.call(Who::Writer, "DELETE", &one, None).await).replace(id(&made), "ID"));
    assert_eq!(world.call(Who::Writer, "POST", &format!("{one}/assign"), Some(targets(&[]))).await.status, 204);
    assert_eq!(world.call(Who::Writer, "DELETE", &one, None).await.status, 204);
    assert_eq!(world.call(Who::Writer, "DELETE", &one, None).await.status, 404);
    assert_eq!(world.get(Who::Reader, &one).await.status, 404);

    let audit = world.get(Who::Reader, &format!("{BETA}/auditEvents")).await.rows();
    let rows =
        audit.iter().rev().filter(|row| row["displayName"].as_str().unwrap().contains("CloudPcProvisioningPolicy"));
    let rows = rows.map(|row| {
        let changes = row["resources"][0]["modifiedProperties"].as_array().unwrap().iter();
        let change =
            |change: &Value| format!("{}: {} -> {}", change["displayName"], change["oldValue"], change["newValue"]);
        format!(
            "{} {}\n  {}\n",
            row["displayName"],
            row["resources"][0]["displayName"],
            changes.map(change).collect::<Vec<_>>().join("\n  ")
        )
    });
    assert_snapshot!(rows.collect::<String>());
}

#[tokio::test]
async fn both_versions_show_what_they_have_names_for() {
    let world = server(Config::default()).await;
    let mut shared = policy("Shared");
    shared["provisioningType"] = json!("sharedByUser");
    let made = create(&world, "provisioningPolicies", shared).await;
    assert_eq!(made["provisioningType"], "sharedByUser");
    let v1 = world.get(Who::Reader, &format!("{V1}/provisioningPolicies/{}", id(&made))).await.json();
    assert_eq!(v1["provisioningType"], "shared", "v1.0 has an older name for it");
    assert!(v1.get("scopeIds").is_none() && v1.get("createdBy").is_none());
    assert_eq!(
        v1["domainJoinConfigurations"][0].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["domainJoinType", "onPremisesConnectionId", "regionGroup", "regionName"]
    );
    for (root, filter) in [(BETA, "sharedByUser"), (BETA, "shared"), (V1, "shared")] {
        let path = format!("{root}/provisioningPolicies?$filter=provisioningType%20eq%20'{filter}'");
        assert_eq!(world.get(Who::Reader, &path).await.rows().len(), 1, "{path}");
    }
    // What v1.0 cannot name survives its updates.
    let patch = json!({"domainJoinConfigurations": v1["domainJoinConfigurations"], "description": "x"});
    let path = format!("{V1}/provisioningPolicies/{}", id(&made));
    assert_eq!(world.call(Who::Writer, "PATCH", &path, Some(patch)).await.status, 200);
    let after = world.get(Who::Reader, &format!("{BETA}/provisioningPolicies/{}", id(&made))).await.json();
    assert_eq!(after["domainJoinConfigurations"], made["domainJoinConfigurations"]);
    let mut older = policy("Older");
    older["provisioningType"] = json!("shared");
    let older = world.call(Who::Writer, "POST", &format!("{V1}/provisioningPolicies"), Some(older)).await;
    assert_eq!(older.json()["provisioningType"], "shared", "what was written reads back: {}", older.body);
}

#[tokio::test]
async fn late_enum_members_are_masked_under_strict_fidelity_unless_asked_for() {
    let mut config = Config::default();
    config.identity.fidelity = Fidelity::Strict;
    let world = server(config).await;
    let mut shared = policy("Shared");
    shared["provisioningType"] = json!("sharedByEntraGroup");
    let made = create(&world, "provisioningPolicies", shared).await;
    assert_eq!(made["provisioningType"], "unknownFutureValue");
    let path = format!("{BETA}/provisioningPolicies/{}", id(&made));
    let asked = with_headers(&world, "GET", &path, &[("prefer", "include-unknown-enum-members")], None).await;
    assert_eq!(asked.json()["provisioningType"], "sharedByEntraGroup");
    let filter = format!("{BETA}/provisioningPolicies?$filter=provisioningType%20eq%20'sharedByEntraGroup'");
    assert_eq!(world.get(Who::Reader, &filter).await.rows().len(), 1, "the stored value is compared");
}

#[tokio::test]
async fn older_names_are_converted_and_conflicts_refused() {
    let world = server(Config::default()).await;
    let setting =
        json!({"displayName": "A", "restorePointSetting": {"frequencyInHours": 6, "userRestoreEnabled": true}});
    let made = create(&world, "userSettings", setting).await;
    assert_eq!(
        made["restorePointSetting"],
        json!({"frequencyInHours": 6, "frequencyType": "sixHours", "userRestoreEnabled": true})
    );
    let filter = format!("{BETA}/userSettings?$filter=restorePointSetting/frequencyInHours%20eq%206");
    assert_eq!(world.get(Who::Reader, &filter).await.rows().len(), 1);
    let defaults = create(&world, "userSettings", json!({"displayName": "B"})).await;
    assert_eq!(
        defaults["restorePointSetting"],
        json!({"frequencyInHours": 12, "frequencyType": "default", "userRestoreEnabled": false})
    );
    // What was read can be sent back, although twelve hours are the older name of two frequencies.
    let sent_back = json!({"restorePointSetting": defaults["restorePointSetting"]});
    let path = format!("{BETA}/userSettings/{}", defaults["id"].as_str().unwrap());
    let patched = world.call(Who::Writer, "PATCH", &path, Some(sent_back)).await;
    assert_eq!(
        (patched.status.as_u16(), &patched.json()["restorePointSetting"]),
        (200, &defaults["restorePointSetting"])
    );
    let unknown = json!({"displayName": "D", "restorePointSetting": {"frequencyInHours": 5}});
    let refused = world.call(Who::Writer, "POST", &format!("{BETA}/userSettings"), Some(unknown)).await;
    assert_eq!(refused.error(), (400, "BadRequest".into()));
    assert!(refused.body.contains("Expected one of 4, 6, 12, 16, 24."), "{}", refused.body);
    let conflict =
        json!({"displayName": "C", "restorePointSetting": {"frequencyInHours": 6, "frequencyType": "fourHours"}});
    let refused = world.call(Who::Writer, "POST", &format!("{BETA}/userSettings"), Some(conflict)).await;
    assert_snapshot!(told(&refused));
    let mut portal = policy("Portal");
    portal["domainJoinConfigurations"] = json!([{"type": "azureADJoin", "regionName": "automatic"}]);
    portal["microsoftManagedDesktop"] = json!({"type": "notManaged", "profile": ""});
    portal["windowsSettings"] = json!({"language": "fr-FR"});
    portal["autopatch"] = json!({});
    portal["userSettingsPersistenceEnabled"] = json!(false);
    let made = create(&world, "provisioningPolicies", portal).await;
    assert_eq!(made["domainJoinConfigurations"][0]["domainJoinType"], "azureADJoin");
    assert_eq!(made["domainJoinConfigurations"][0]["type"], "azureADJoin");
    assert_eq!(made["microsoftManagedDesktop"]["managedType"], "notManaged");
    assert_eq!(made["windowsSetting"]["locale"], "fr-FR");
}

#[tokio::test]
async fn wrong_bodies_are_refused_and_say_why() {
    let world = server(Config::default()).await;
    create(&world, "provisioningPolicies", policy("Taken")).await;
    let changed = |changes: Value| {
        let mut body = policy("New");
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let join = |join: Value| changed(json!({"domainJoinConfigurations": [join]}));
    let bodies = [
        changed(json!({"displayName": null})),
        changed(json!({"displayName": "  "})),
        changed(json!({"displayName": "tAkEn"})),
        changed(json!({"displayName": "a".repeat(121)})),
        changed(json!({"displayName": "a|b"})),
        changed(json!({"imageId": "nobody_has_this"})),
        changed(json!({"imageType": "custom"})),
        changed(json!({"domainJoinConfigurations": []})),
        join(json!({"domainJoinType": "hybridAzureADJoin"})),
        join(json!({"domainJoinType": "azureADJoin"})),
        join(json!({"onPremisesConnectionId": "aa000000-0000-4000-8000-000000000001"})),
        changed(json!({"userExperienceType": "cloudApp"})),
        changed(json!({"cloudPcNamingTemplate": "PC-%USERNAME:4%"})),
        changed(json!({"autopilotConfiguration": {"applicationTimeoutInMinutes": 29}})),
        changed(json!({"autopatch": {"autopatchGroupId": GROUP}})),
        changed(json!({"assignments": [{"target": {"groupId": GROUP}}]})),
        changed(json!({"assignments@odata.bind": ["x"]})),
        changed(json!({"provisioningType": "borrowed"})),
        changed(json!({"colour": "red"})),
    ];
    let mut refusals = String::new();
    for body in bodies {
        let reply = world.call(Who::Writer, "POST", &format!("{BETA}/provisioningPolicies"), Some(body)).await;
        refusals.push_str(&told(&reply));
    }
    assert_snapshot!(refusals);
    // What the service sets is ignored, and what is null or empty is as good as absent.
    let sent_back = changed(json!({
        "id": "x", "createdDateTime": "2020-01-01T00:00:00Z", "createdBy": "me", "gracePeriodInHours": null,
        "imageDisplayName": null, "assignments": [], "scopeIds": null,
    }));
    let made = create(&world, "provisioningPolicies", sent_back).await;
    assert_eq!((&made["gracePeriodInHours"], &made["scopeIds"]), (&json!(168), &json!(["0"])));
    assert_ne!(made["createdDateTime"], "2020-01-01T00:00:00Z");
}

#[tokio::test]
async fn an_assignment_that_stays_keeps_its_id_and_what_the_version_cannot_name() {
    const FRONTLINE: &str = "10000000-0000-4000-8000-0000000000cf";
    let world = server(Config::default()).await;
    add_frontline_subscription(&world, 1).await;
    let mut shared = policy("Shared");
    shared["provisioningType"] = json!("sharedByEntraGroup");
    let made = create(&world, "provisioningPolicies", shared).await;
    let one = format!("{BETA}/provisioningPolicies/{}", id(&made));
    let target = |group: &str, count: i64| {
        json!({"id": null, "target": {
            "@odata.type": "microsoft.graph.cloudPcManagementGroupAssignmentTarget",
            "groupId": group, "servicePlanId": FRONTLINE, "allotmentLicensesCount": count, "allotmentDisplayName": "Desk",
        }})
    };
    let both = json!({"assignments": [target(GROUP, 3), target(OTHER_GROUP, 4)]});
    let assigned = world.call(Who::Writer, "POST", &format!("{one}/assign"), Some(both)).await;
    assert_eq!(assigned.status, 204, "{}", assigned.body);
    let expanded = world.get(Who::Reader, &format!("{one}?$expand=assignments")).await.json();
    let before = expanded["assignments"].as_array().unwrap().clone();
    assert_eq!(before.len(), 2);
    assert!(before.iter().all(|row| row["target"]["allotmentLicensesCount"].is_i64()), "{before:?}");

    let kept = json!({"assignments": [{"target": {"groupId": GROUP.to_uppercase(), "servicePlanId": FRONTLINE}}]});
    let path = format!("{V1}/provisioningPolicies/{}/assign", id(&made));
    assert_eq!(world.call(Who::Writer, "POST", &path, Some(kept)).await.status, 204);
    let rows = world.get(Who::Reader, &format!("{one}/assignments")).await.rows();
    let was = before.iter().find(|row| row["target"]["groupId"] == GROUP).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["id"], was["id"]);
    assert_eq!(rows[0]["target"]["allotmentLicensesCount"], 3);

    let mut refusals = String::new();
    let dedicated = create(&world, "provisioningPolicies", policy("Dedicated")).await;
    let assign = format!("{BETA}/provisioningPolicies/{}/assign", id(&dedicated));
    for body in [
        json!({}),
        json!({"assignments": [{}]}),
        json!({"assignments": [{"target": {}}]}),
        targets(&["not-a-guid"]),
        targets(&[GROUP, &GROUP.to_uppercase()]),
        json!({"assignments": [{"target": {"groupId": GROUP, "servicePlanId": PLAN}}]}),
    ] {
        refusals.push_str(&told(&world.call(Who::Writer, "POST", &assign, Some(body)).await));
    }
    let without_plan = world.call(Who::Writer, "POST", &format!("{one}/assign"), Some(targets(&[GROUP]))).await;
    refusals.push_str(&told(&without_plan));
    let setting = create(&world, "userSettings", json!({"displayName": "A"})).await;
    let assign = format!("{BETA}/userSettings/{}/assign", id(&setting));
    let with_plan = json!({"assignments": [{"target": {"groupId": GROUP, "servicePlanId": PLAN}}]});
    refusals.push_str(&told(&world.call(Who::Writer, "POST", &assign, Some(with_plan)).await));
    let with_null = json!({"assignments": [{"target": {"groupId": GROUP, "servicePlanId": null}}]});
    assert_eq!(world.call(Who::Writer, "POST", &assign, Some(with_null)).await.status, 204);
    assert_snapshot!(refusals);
}

#[tokio::test]
async fn a_target_has_one_assignment_also_after_an_assignment_was_moved() {
    let world = server(Config::default()).await;
    let made = create(&world, "provisioningPolicies", policy("Dedicated")).await;
    let one = format!("{BETA}/provisioningPolicies/{}", id(&made));
    let assignments = format!("{one}/assignments");
    let to = |group: &str| Some(json!({"target": {"groupId": group}}));
    let moved = world.call(Who::Writer, "POST", &assignments, to(GROUP)).await.json();
    let moved = format!("{assignments}/{}", id(&moved));
    assert_eq!(world.call(Who::Writer, "PATCH", &moved, to(OTHER_GROUP)).await.status, 200);
    let mut refusals = told(&world.call(Who::Writer, "POST", &assignments, to(OTHER_GROUP)).await);
    let second = world.call(Who::Writer, "POST", &assignments, to(GROUP)).await;
    assert_eq!(second.status, 201, "{}", second.body);
    let second = format!("{assignments}/{}", id(&second.json()));
    refusals.push_str(&told(&world.call(Who::Writer, "PATCH", &second, to(OTHER_GROUP)).await));
    assert_eq!(world.call(Who::Writer, "DELETE", &second, None).await.status, 204);
    let both = Some(targets(&[GROUP, OTHER_GROUP]));
    assert_eq!(world.call(Who::Writer, "POST", &format!("{one}/assign"), both).await.status, 204);
    assert_eq!(world.get(Who::Reader, &assignments).await.rows().len(), 2);

    let mut shared = policy("Shared");
    shared["provisioningType"] = json!("sharedByUser");
    let made = create(&world, "provisioningPolicies", shared).await;
    let assignments = format!("{BETA}/provisioningPolicies/{}/assignments", id(&made));
    let seat = json!({"target": {"groupId": GROUP, "servicePlanId": PLAN}});
    assert_eq!(world.call(Who::Writer, "POST", &assignments, Some(seat.clone())).await.status, 201);
    let again = world.call(Who::Writer, "POST", &assignments, Some(seat)).await;
    assert_eq!(again.error(), (409, "nameAlreadyExists".into()));
    let refusals = refusals.replace(id(&world.get(Who::Reader, &moved).await.json()), "ASSIGNMENT");
    assert_snapshot!(refusals, @"
    409 nameAlreadyExists [target/groupId] The assignment 'ASSIGNMENT' already assigns the group '0a000000-0000-4000-8000-00000000000b'. Change that one, or choose another group.
    409 nameAlreadyExists [target/groupId] The assignment 'ASSIGNMENT' already assigns the group '0a000000-0000-4000-8000-00000000000b'. Change that one, or choose another group.
    ");
}

#[tokio::test]
async fn lists_are_counted_filtered_selected_and_expanded() {
    let world = server(Config::default()).await;
    for name in ["b", "a", "c"] {
        let made = create(&world, "userSettings", json!({"displayName": name})).await;
        let path = format!("{BETA}/userSettings/{}/assign", id(&made));
        assert_eq!(world.call(Who::Writer, "POST", &path, Some(targets(&[GROUP, OTHER_GROUP]))).await.status, 204);
    }
    let list = format!("{BETA}/userSettings");
    assert_eq!(world.get(Who::Reader, &format!("{list}/$count")).await.body, "3");
    let sorted =
        world.get(Who::Reader, &format!("{list}?$orderby=displayName%20desc&$select=displayName")).await.rows();
    assert_eq!(sorted, [json!({"displayName": "c"}), json!({"displayName": "b"}), json!({"displayName": "a"})]);
    let page = world.get(Who::Reader, &format!("{list}?$top=2&$count=true")).await;
    assert_eq!((page.rows().len(), &page.json()["@odata.count"]), (2, &json!(3)));
    let rest = page.next_link().unwrap();
    assert_eq!(world.get(Who::Reader, rest.strip_prefix("https://cloudpc.test").unwrap()).await.rows().len(), 1);

    let one =
        format!("{list}?$filter=displayName%20eq%20'a'&$select=displayName&$expand=assignments($select=target;$top=1)");
    let reply = world.get(Who::Reader, &one).await;
    assert_eq!(
        reply.json()["@odata.context"],
        "https://cloudpc.test/beta/$metadata#deviceManagement/virtualEndpoint/userSettings(displayName,assignments())"
    );
    let row = &reply.rows()[0];
    assert_eq!(row.as_object().unwrap().keys().collect::<Vec<_>>(), ["assignments", "displayName"]);
    let target = json!({
        "@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget", "allotmentDisplayName": null,
        "allotmentLicensesCount": null, "groupId": GROUP, "servicePlanId": null,
    });
    assert_eq!(row["assignments"], json!([{"target": target}]));
    let mut refusals = String::new();
    for expand in
        ["nothing", "assignments($expand=target)", "assignments($top=0)", "assignments(", "assignments,assignments"]
    {
        refusals.push_str(&told(&world.get(Who::Reader, &format!("{list}?$expand={expand}")).await));
    }
    refusals.push_str(&told(&world.get(Who::Reader, &format!("{BETA}/cloudPCs?$expand=assignments")).await));
    assert_snapshot!(refusals);
}

#[tokio::test]
async fn if_match_guards_a_write() {
    let world = server(Config::default()).await;
    let made = create(&world, "userSettings", json!({"displayName": "A"})).await;
    let one = format!("{BETA}/userSettings/{}", id(&made));
    let rename = |name: &str| Some(json!({"displayName": name}));
    let stale = with_headers(&world, "PATCH", &one, &[("if-match", "W/\"7\"")], rename("B")).await;
    assert_snapshot!(told(&stale));
    for tag in ["W/\"1\"", "*", "\"3\"", "W/\"9\", W/\"4\""] {
        let reply = with_headers(&world, "PATCH", &one, &[("if-match", tag)], rename(&format!("Name {tag}"))).await;
        assert_eq!(reply.status, 200, "{tag}: {}", reply.body);
    }
    assert_eq!(with_headers(&world, "DELETE", &one, &[("if-match", "W/\"1\"")], None).await.status, 412);
    assert_eq!(with_headers(&world, "DELETE", &one, &[("if-match", "*")], None).await.status, 204);
}

#[tokio::test]
async fn a_neighbour_sees_and_changes_nothing() {
    let world = server(Config::default()).await;
    let made = create(&world, "userSettings", json!({"displayName": "A"})).await;
    let one = format!("{BETA}/userSettings/{}", id(&made));
    assert_eq!(world.get(Who::Stranger, &one).await.status, 404);
    assert_eq!(world.get(Who::Stranger, &format!("{BETA}/userSettings")).await.rows().len(), 0);
}

#[tokio::test]
async fn one_of_a_kind_reads_as_its_defaults_until_it_is_written() {
    let world = server(Config::default()).await;
    let path = format!("{BETA}/organizationSettings");
    let defaults = world.get(Who::Reader, &path).await;
    assert_snapshot!(serde_json::to_string_pretty(&defaults.json()).unwrap());
    let patch = json!({"@odata.type": "#microsoft.graph.cloudPcOrganizationSettings", "osVersion": "windows10"});
    let updated = world.call(Who::Writer, "PATCH", &path, Some(patch)).await;
    assert_eq!((updated.status.as_u16(), &updated.json()["osVersion"]), (200, &json!("windows10")));
    assert_eq!(world.get(Who::Reader, &path).await.json(), updated.json());
    let shut = world.call(Who::Writer, "DELETE", &path, None).await;
    assert_eq!((shut.status.as_u16(), shut.headers["allow"].to_str().unwrap()), (405, "GET, PATCH"));
}

#[tokio::test]
async fn regions_are_listed_and_cannot_be_changed() {
    let world = server(Config::default()).await;
    let list = format!("{BETA}/supportedRegions");
    let all = world.get(Who::Reader, &list).await.rows();
    assert_eq!(world.get(Who::Reader, &format!("{list}/$count")).await.body, all.len().to_string());
    let west = world.get(Who::Reader, &format!("{list}?$filter=displayName%20eq%20'westeurope'")).await.rows();
    assert_eq!((west.len(), &west[0]["regionGroup"]), (1, &json!("netherlands")));
    let managed =
        world.get(Who::Reader, &format!("{list}?$filter=supportedSolution%20eq%20'windows365'&$top=999")).await;
    assert_eq!(managed.rows().len(), all.len());
    assert_eq!(world.get(Who::Reader, &format!("{list}/westeurope")).await.json()["displayName"], "westeurope");
    let shut = world.call(Who::Writer, "POST", &list, Some(json!({"displayName": "moon"}))).await;
    assert_eq!((shut.status.as_u16(), shut.headers["allow"].to_str().unwrap()), (405, "GET"));
}

#[tokio::test]
async fn frontline_plans_count_licences_and_allotments() {
    let world = server(Config::default()).await;
    let list = format!("{BETA}/frontLineServicePlans");
    assert_eq!(world.get(Who::Reader, &list).await.rows(), Vec::<Value>::new(), "no frontline subscription");
    crate::document_cases::add_frontline_subscription(&world, 1).await;
    let plan = world.get(Who::Reader, &list).await.rows()[0].clone();
    let counts = |plan: &Value| ["totalCount", "usedCount", "allotmentLicensesCount"].map(|name| plan[name].clone());
    assert_eq!(counts(&plan), [json!(4), json!(0), json!(0)]);
    let mut body = policy("Shifts");
    body["provisioningType"] = json!("sharedByUser");
    let made = create(&world, "provisioningPolicies", body).await;
    let target = |group: &str, licenses: u64| {
        json!({"target": {
            "groupId": group, "servicePlanId": plan["id"], "allotmentLicensesCount": licenses,
        }})
    };
    let body = json!({"assignments": [target(GROUP, 1), target(OTHER_GROUP, 2)]});
    let path = format!("{BETA}/provisioningPolicies/{}/assign", id(&made));
    assert_eq!(world.call(Who::Writer, "POST", &path, Some(body)).await.status, 204);
    let one = world.get(Who::Reader, &format!("{list}/{}", id(&plan))).await.json();
    assert_eq!(counts(&one), [json!(4), json!(0), json!(3)]);
    let shut = world.call(Who::Writer, "DELETE", &format!("{list}/{}", id(&plan)), None).await;
    assert_eq!((shut.status.as_u16(), shut.headers["allow"].to_str().unwrap()), (405, "GET"));
}

#[tokio::test]
async fn there_is_a_most_of_each_kind() {
    let world = server(Config::default()).await;
    let made = create(&world, "userSettings", json!({"displayName": "A"})).await;
    let groups: Vec<_> = (0..201).map(|n| format!("0a000000-0000-4000-8000-{n:012}")).collect();
    let groups: Vec<_> = groups.iter().map(String::as_str).collect();
    let path = format!("{BETA}/userSettings/{}/assign", id(&made));
    let mut refusals = told(&world.call(Who::Writer, "POST", &path, Some(targets(&groups))).await);
    assert_eq!(world.call(Who::Writer, "POST", &path, Some(targets(&groups[..200]))).await.status, 204);
    let path = format!("{BETA}/userSettings/{}/assignments", id(&made));
    let one_more = json!({"target": {"groupId": groups[200]}});
    refusals.push_str(&told(&world.call(Who::Writer, "POST", &path, Some(one_more)).await));
    assert_snapshot!(refusals);
    let expanded =
        world.get(Who::Reader, &format!("{BETA}/userSettings/{}?$expand=assignments", id(&made))).await.json();
    assert_eq!(expanded["assignments"].as_array().unwrap().len(), 100);
    let link = expanded["assignments@odata.nextLink"].as_str().unwrap().strip_prefix("https://cloudpc.test").unwrap();
    assert_eq!(world.get(Who::Reader, link).await.rows().len(), 100);
    for (options, count, has_link) in [
        ("$skip=50", 100, true),
        ("$skip=100", 100, false),
        ("$skip=101", 99, false),
        ("$top=5", 5, false),
        ("$skip=18446744073709551615", 0, false),
        ("$filter=id%20ne%20null;$orderby=id%20desc;$skip=99", 100, true),
    ] {
        let path = format!("{BETA}/userSettings?$expand=assignments({options})");
        let row = world.get(Who::Reader, &path).await.rows()[0].clone();
        assert_eq!(row["assignments"].as_array().unwrap().len(), count, "{options}");
        assert_eq!(row.get("assignments@odata.nextLink").is_some(), has_link, "{options}");
    }
    let huge = json!({"displayName": "B", "crossRegionDisasterRecoverySetting": {"disasterRecoveryNetworkSetting": {
        "@odata.type": "#microsoft.graph.cloudPcDisasterRecoveryMicrosoftHostedNetworkSetting", "regionName": "x".repeat(9_000)}}});
    assert_eq!(world.call(Who::Writer, "POST", &format!("{BETA}/userSettings"), Some(huge)).await.status, 201);
}
