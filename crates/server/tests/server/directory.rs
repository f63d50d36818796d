//! Users, groups and licences: what clients of Cloud PCs do with the directory.

use cloudpc_model::{AppId, GroupId, SkuId, TenantId, UserId};
use cloudpc_server::operations::{GROUP_MEMBERS_MAX, GROUPS_MAX, REFERENCES_MAX};
use cloudpc_server::request::BaseAddress;
use cloudpc_server::scenario;
use cloudpc_store::{Application, Group, Subscription, Tx};
use http::Request;
use insta::assert_snapshot;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{BASE, OWNER_TENANT, PLAN_2, Reply, START, TestServer, Who};

const ADA: &str = "10000000-0000-4000-8000-0000000000a1";
const ALAN: &str = "10000000-0000-4000-8000-0000000000a2";
const PASSWORD: &str = "correct horse";

fn tenant() -> TenantId {
    OWNER_TENANT.parse().unwrap()
}

fn told(reply: &Reply) -> String {
    let error = &reply.json()["error"];
    let text = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
    format!("{} {} [{}] {}\n", reply.status.as_u16(), text("code"), text("target"), text("message"))
}

fn user(name: &str) -> Value {
    json!({
        "accountEnabled": true, "displayName": name, "mailNickname": name,
        "userPrincipalName": format!("{name}@contoso.test"),
        "passwordProfile": {"password": PASSWORD, "forceChangePasswordNextSignIn": false},
    })
}

fn group(name: &str, members: &[&str]) -> Value {
    let links: Vec<_> =
        members.iter().map(|id| format!("https://graph.microsoft.com/v1.0/directoryObjects/{id}")).collect();
    json!({
        "displayName": name, "mailEnabled": false, "mailNickname": name, "securityEnabled": true,
        "members@odata.bind": links,
    })
}

async fn create(world: &TestServer, collection: &str, body: Value) -> Value {
    let reply = world.call(Who::Writer, "POST", &format!("/v1.0/{collection}"), Some(body)).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.json()
}

async fn write(world: &TestServer, method: &str, path: &str, body: Value) -> Reply {
    world.call(Who::Writer, method, &format!("/v1.0{path}"), Some(body)).await
}

fn id(entity: &Value) -> &str {
    entity["id"].as_str().unwrap()
}

/// The names of the rows of a list.
async fn names(world: &TestServer, path: &str) -> Vec<String> {
    let rows = world.get(Who::Reader, &format!("/v1.0{path}")).await.rows();
    rows.iter().map(|row| row["displayName"].as_str().unwrap().to_owned()).collect()
}

/// Adds a subscription of `units` licences.
async fn subscribe(world: &TestServer, units: u32) -> SkuId {
    let sku_id = SkuId(Uuid::from_u128(0x51));
    let subscription = Subscription {
        tenant_id: tenant(),
        sku_id,
        service_plan_id: PLAN_2.parse().unwrap(),
        sku_part_number: "CPC_B_4C_16RAM_256GB".into(),
        units,
    };
    world.app.store.write("test.write", move |tx| tx.subscription_put(&subscription, START)).await.unwrap();
    sku_id
}

/// Empties the queue of users whose Cloud PCs may have to change; returns who was in it.
async fn queued(world: &TestServer) -> Vec<UserId> {
    let take = |tx: &mut Tx<'_>| {
        let next = tx.provisioning_queue_next(99)?;
        next.iter().try_for_each(|entry| tx.provisioning_queue_remove(entry.tenant_id, entry.user_id))?;
        Ok::<_, cloudpc_store::StoreError>(next.iter().map(|entry| entry.user_id).collect())
    };
    world.app.store.write("test.write", take).await.unwrap()
}

#[tokio::test]
async fn a_user_from_creation_to_deletion() {
    let world = TestServer::new().await;
    let created = create(&world, "users", user("mary")).await;
    assert_eq!(created["userPrincipalName"], "mary@contoso.test");
    assert!(created.get("passwordProfile").is_none() && created.get("accountEnabled").is_none());
    let by_id = format!("/users/{}", id(&created));
    for path in [by_id.as_str(), "/users/MARY@contoso.test", "/users('mary@contoso.test')"] {
        assert_eq!(world.get(Who::Reader, &format!("/beta{path}")).await.json()["id"], created["id"], "{path}");
    }
    let whole = world.get(Who::Reader, &format!("/v1.0{by_id}?$select=*")).await;
    assert!(!whole.body.contains("argon2") && !whole.body.contains(PASSWORD), "{whole}");
    assert_eq!((&whole.json()["accountEnabled"], &whole.json()["mailNickname"]), (&json!(true), &json!("mary")));

    let change = json!({"department": "Finance", "usageLocation": "DE", "accountEnabled": false, "jobTitle": "Clerk"});
    assert_eq!(write(&world, "PATCH", &by_id, change).await.status, 204);
    assert_eq!(queued(&world).await, [id(&created).parse().unwrap()]);
    let select = "$select=department,usageLocation,accountEnabled,createdDateTime";
    let read = world.get(Who::Reader, &format!("/v1.0{by_id}?{select}")).await.json();
    assert_eq!(read["department"], "Finance");
    assert_eq!((&read["usageLocation"], &read["accountEnabled"]), (&json!("DE"), &json!(false)));
    assert_eq!(write(&world, "PATCH", &by_id, json!({"department": null})).await.status, 204);

    assert_eq!(
        names(&world, "/users?$filter=startswith(displayName,'A')&$orderby=displayName%20desc").await,
        ["Alan Turing", "Ada Lovelace"]
    );
    assert_eq!(names(&world, "/users?$filter=userPrincipalName%20eq%20'mary@contoso.test'").await, ["mary"]);
    assert_eq!(names(&world, "/users?$filter=jobTitle%20eq%20'Clerk'&$count=true").await, ["mary"]);
    assert_eq!(world.get(Who::Reader, "/v1.0/users/$count").await.body, "3");
    assert_eq!(world.get(Who::Reader, "/v1.0/users?$search=%22mary%22").await.status, 400);

    assert_eq!(world.call(Who::Writer, "DELETE", &format!("/v1.0{by_id}"), None).await.status, 204);
    assert_eq!(world.get(Who::Reader, &format!("/v1.0{by_id}")).await.status, 404);
    assert_eq!(world.call(Who::Writer, "DELETE", &format!("/v1.0{by_id}"), None).await.status, 404);
    let events = world.get(Who::Reader, "/beta/deviceManagement/virtualEndpoint/auditEvents").await.rows();
    let mut shown = String::new();
    for event in events.iter().rev().filter(|event| event["activityType"].as_str().unwrap().ends_with(" User")) {
        let changes = &event["resources"][0]["modifiedProperties"];
        shown.push_str(&format!("{}\n", event["activityType"].as_str().unwrap()));
        for change in changes.as_array().unwrap() {
            shown.push_str(&format!("  {}: {} -> {}\n", change["displayName"], change["oldValue"], change["newValue"]));
        }
    }
    assert_snapshot!(shown);
}

#[tokio::test]
async fn what_a_new_user_needs_cannot_be_cleared() {
    let world = TestServer::new().await;
    for name in ["accountEnabled", "displayName", "mailNickname", "userPrincipalName"] {
        let refused = write(&world, "PATCH", &format!("/users/{ALAN}"), json!({ name: null })).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["error"]["target"]), (400, &json!(name)));
    }
}

#[tokio::test]
async fn empty_update_succeeds_and_changes_nothing() {
    let world = TestServer::new().await;
    let made = create(&world, "groups", group("sales", &[])).await;
    let partners = world.get(Who::Reader, "/beta/deviceManagement/virtualEndpoint/externalPartners").await.rows();
    let partner = format!("/beta/deviceManagement/virtualEndpoint/externalPartners/{}", id(&partners[0]));
    let audit = "/beta/deviceManagement/virtualEndpoint/auditEvents/$count";
    let audited = world.get(Who::Reader, audit).await.body;
    for (path, status) in
        [(format!("/v1.0/users/{ALAN}"), 204), (format!("/v1.0/groups/{}", id(&made)), 204), (partner, 200)]
    {
        let before = world.get(Who::Writer, &path).await.json();
        assert_eq!(world.call(Who::Writer, "PATCH", &path, Some(json!({}))).await.status, status, "{path}");
        assert_eq!(world.get(Who::Writer, &path).await.json(), before, "{path}");
    }
    assert_eq!(world.get(Who::Reader, audit).await.body, audited);
}

#[tokio::test]
async fn wrong_users_and_groups_are_refused_and_say_why() {
    let world = TestServer::new().await;
    let changed = |mut body: Value, change: Value| {
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    let mut refusals = String::new();
    let long = "x".repeat(257);
    for change in [
        json!({"userPrincipalName": "mary"}),
        json!({"userPrincipalName": "mary@fabrikam.test"}),
        json!({"userPrincipalName": "ADA@contoso.test"}),
        json!({"passwordProfile": {"password": "short"}}),
        json!({"passwordProfile": null}),
        json!({"usageLocation": "Germany"}),
        json!({"displayName": long}),
        json!({"displayName": " "}),
        json!({"createdDateTime": "2026-01-01T00:00:00Z"}),
    ] {
        refusals.push_str(&told(&write(&world, "POST", "/users", changed(user("mary"), change)).await));
    }
    for (path, change) in [
        (format!("/users/{ADA}"), json!({"displayName": "Mallory"})),
        (format!("/users/{ALAN}"), json!({"passwordProfile": {"password": PASSWORD}})),
        (format!("/users/{ALAN}"), json!({"userType": "Guest"})),
    ] {
        refusals.push_str(&told(&write(&world, "PATCH", &path, change).await));
    }
    let many: Vec<_> = (0..=REFERENCES_MAX).map(|_| ALAN).collect();
    for body in [
        changed(group("a", &[]), json!({"groupTypes": ["Unified"]})),
        changed(group("a", &[]), json!({"mailNickname": "a b"})),
        changed(group("a", &[]), json!({"owners@odata.bind": []})),
        group("a", &["10000000-0000-4000-8000-00000000dead"]),
        group("a", &many),
        changed(group("a", &[]), json!({"members@odata.bind": ["https://graph.microsoft.com/v1.0/groups/x"]})),
    ] {
        refusals.push_str(&told(&write(&world, "POST", "/groups", body).await));
    }
    assert_snapshot!(refusals);
    assert_eq!(names(&world, "/groups").await, Vec::<String>::new(), "a group whose members are refused is not made");
}

#[tokio::test]
async fn members_come_and_go_by_reference() {
    let world = TestServer::new().await;
    let team = create(&world, "groups", group("Team", &[ALAN])).await;
    assert_eq!(queued(&world).await, [ALAN.parse().unwrap()]);
    let members = format!("/groups/{}/members", id(&team));
    let link = |id: &str| json!({"@odata.id": format!("{BASE}/v1.0/users/{id}")});
    assert_eq!(write(&world, "POST", &format!("{members}/$ref"), link("ada@contoso.test")).await.status, 204);
    let twice = write(&world, "POST", &format!("{members}/$ref"), link(ADA)).await;
    assert_eq!(twice.status, 400);
    assert!(twice.body.contains("added object references already exist"), "{twice}");
    assert_eq!(names(&world, &format!("{members}?$top=1")).await, ["Ada Lovelace"]);
    let [first, _] = world.get(Who::Reader, &format!("/beta{members}?$select=id")).await.rows().try_into().unwrap();
    assert_eq!(first["@odata.type"], "#microsoft.graph.user", "an SDK makes a user of it");
    assert_eq!(names(&world, &format!("{members}?$filter=displayName%20eq%20'Alan%20Turing'")).await, ["Alan Turing"]);
    assert_eq!(world.get(Who::Reader, &format!("/beta{members}/$count")).await.body, "2");
    let of_ada = world.get(Who::Reader, &format!("/v1.0/users/{ADA}/memberOf?$select=displayName,id")).await.rows();
    assert_eq!((of_ada.len(), &of_ada[0]["displayName"]), (1, &json!("Team")));
    assert_eq!(world.get(Who::Ada, "/v1.0/me/memberOf").await.rows()[0]["@odata.type"], "#microsoft.graph.group");
    assert_eq!(world.get(Who::Ada, "/v1.0/me").await.json()["id"], ADA);

    queued(&world).await;
    let gone = format!("/v1.0{members}/{ADA}/$ref");
    assert_eq!(world.call(Who::Writer, "DELETE", &gone, None).await.status, 204);
    assert_eq!(world.call(Who::Writer, "DELETE", &gone, None).await.status, 404);
    assert_eq!(queued(&world).await, [ADA.parse().unwrap()]);
    assert_eq!(world.call(Who::Writer, "DELETE", &format!("/v1.0/groups/{}", id(&team)), None).await.status, 204);
    assert_eq!(queued(&world).await, [ALAN.parse().unwrap()]);
    assert!(world.get(Who::Reader, &format!("/v1.0/users/{ALAN}/memberOf")).await.rows().is_empty());
}

#[tokio::test]
async fn licences_are_given_until_none_is_left() {
    let world = TestServer::new().await;
    let sku = subscribe(&world, 1).await;
    let team = create(&world, "groups", group("Team", &[ALAN])).await;
    let change = |add: &[SkuId], remove: &[SkuId]| {
        let add: Vec<_> = add.iter().map(|sku| json!({"skuId": sku, "disabledPlans": []})).collect();
        json!({"addLicenses": add, "removeLicenses": remove})
    };
    let of_group = format!("/groups/{}/assignLicense", id(&team));
    let accepted = write(&world, "POST", &of_group, change(&[sku], &[])).await;
    assert_eq!((accepted.status.as_u16(), &accepted.json()["id"]), (202, &team["id"]));
    let details = world.get(Who::Reader, &format!("/v1.0/users/{ALAN}/licenseDetails")).await.rows();
    assert_eq!(details[0]["servicePlans"][0]["servicePlanId"], PLAN_2);
    let own = world.get(Who::Reader, &format!("/v1.0/users/{ALAN}?$select=assignedLicenses")).await.json();
    assert_eq!(own["assignedLicenses"], json!([{"disabledPlans": [], "skuId": sku}]));
    let skus = world.get(Who::Reader, "/v1.0/subscribedSkus").await.rows();
    assert_eq!((&skus[0]["consumedUnits"], &skus[0]["prepaidUnits"]["enabled"]), (&json!(1), &json!(1)));

    let of_ada = format!("/users/{ADA}/assignLicense");
    let mut refusals = String::new();
    for body in [
        change(&[sku], &[]),
        change(&[], &[sku]),
        change(&[sku], &[sku]),
        change(&[SkuId(Uuid::from_u128(9))], &[]),
        json!({"addLicenses": [{"skuId": sku, "disabledPlans": [PLAN_2]}], "removeLicenses": []}),
        json!({"addLicenses": []}),
    ] {
        refusals.push_str(&told(&write(&world, "POST", &of_ada, body).await));
    }
    assert_snapshot!(refusals);
    assert_eq!(write(&world, "POST", &of_group, change(&[], &[sku])).await.status, 202);
    let given = write(&world, "POST", &of_ada, change(&[sku], &[])).await;
    assert_eq!((given.status.as_u16(), given.json()["id"].as_str()), (200, Some(ADA)));
}

#[tokio::test]
async fn assigned_users_are_the_members_of_the_assigned_group() {
    const POLICIES: &str = "/v1.0/deviceManagement/virtualEndpoint/provisioningPolicies";
    let world = TestServer::new().await;
    let policy = json!({
        "displayName": "Desks", "imageId": "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc",
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
    });
    let policy = world.call(Who::Writer, "POST", POLICIES, Some(policy)).await.json();
    let path = format!("{POLICIES}/{}", id(&policy));
    let assign = async |group: &str| {
        let body = json!({"assignments": [{"target": {"groupId": group}}]});
        world.call(Who::Writer, "POST", &format!("{path}/assign"), Some(body)).await
    };
    let missing = assign("10000000-0000-4000-8000-00000000dead").await;
    assert_snapshot!(told(&missing), @"400 BadRequest [target/groupId] groupId '10000000-0000-4000-8000-00000000dead' not found. Create the group first.");
    let team = create(&world, "groups", group("Team", &[ALAN])).await;
    queued(&world).await;
    assert_eq!(assign(id(&team)).await.status, 204);
    assert_eq!(queued(&world).await, [ALAN.parse().unwrap()], "an assignment queues the members");
    let renamed = json!({"description": "new"});
    assert_eq!(world.call(Who::Writer, "PATCH", &path, Some(renamed)).await.status, 200);
    assert_eq!(queued(&world).await, [ALAN.parse().unwrap()], "a change of the policy does so too");

    let users = format!("{path}/assignments/{}_{}/assignedUsers", id(&policy), id(&team));
    assert_eq!(world.get(Who::Reader, &users).await.rows()[0]["id"], ALAN);
    assert_eq!(world.get(Who::Reader, &format!("{users}/$count")).await.body, "1");
    for key in [format!("/{ALAN}"), "(userPrincipalName='alan@contoso.test')".to_owned()] {
        assert_eq!(world.get(Who::Reader, &format!("{users}{key}")).await.json()["displayName"], "Alan Turing");
    }
    assert_eq!(world.get(Who::Reader, &format!("{users}/{ADA}")).await.status, 404);
    let mailbox = world.get(Who::Reader, &format!("{users}/{ALAN}/mailboxSettings")).await;
    assert_eq!((mailbox.status.as_u16(), &mailbox.json()["userPurpose"]), (200, &Value::Null), "nobody has one");
    assert_eq!(world.get(Who::Reader, &format!("{users}/{ADA}/mailboxSettings")).await.status, 404);
}

#[tokio::test]
async fn permissions_to_read_users_differ_in_what_they_show() {
    let world = TestServer::new().await;
    let read = async |token: String, path: &str| {
        let request = Request::builder().uri(format!("/v1.0{path}")).header("authorization", format!("Bearer {token}"));
        world.send(request.body(axum::body::Body::empty()).unwrap()).await
    };
    let app = async |permission: &str| {
        let id = AppId(Uuid::from_u128(0xa0));
        let app = Application {
            tenant_id: tenant(),
            id,
            name: "tool".into(),
            secret_hash: None,
            permissions: vec![permission.to_owned()],
            enabled: true,
        };
        world.app.store.write("test.write", move |tx| tx.app_put(&app)).await.unwrap();
        let token = world.app.identity.issue_for_app(&BaseAddress(BASE.into()), tenant(), id).await;
        token.unwrap().token
    };
    let alan = async |permission: &str| {
        let permission = permission.to_owned();
        let grant = move |tx: &mut Tx<'_>| {
            let alan = tx.user_by_name(tenant(), "alan@contoso.test")?.unwrap();
            tx.user_put(&cloudpc_store::User { permissions: vec![permission.clone()], ..alan })
        };
        world.app.store.write("test.write", grant).await.unwrap();
        let base = BaseAddress(BASE.into());
        world.app.identity.issue_for_user(&base, tenant(), "alan@contoso.test", None).await.unwrap().token
    };
    let ada = format!("/users/{ADA}?$select=accountEnabled,displayName");
    let basic = read(app("User.ReadBasic.All").await, &ada).await.json();
    assert_eq!((&basic["displayName"], &basic["accountEnabled"]), (&json!("Ada Lovelace"), &Value::Null));
    let filter = "/users?$filter=accountEnabled%20eq%20true";
    assert!(read(app("User.ReadBasic.All").await, filter).await.rows().is_empty(), "what is not shown is not found");
    assert_eq!(read(app("User.Read.All").await, &ada).await.json()["accountEnabled"], true);
    assert_eq!(read(app("User.Read").await, &ada).await.status, 403, "applications have no account");
    assert_eq!(read(app("Group.Read.All").await, &ada).await.status, 403);
    assert_eq!(read(app("Organization.Read.All").await, "/subscribedSkus").await.status, 200);
    assert_eq!(read(app("GroupMember.Read.All").await, "/groups").await.status, 200);

    let own = read(alan("User.Read").await, "/me?$select=accountEnabled").await;
    assert_eq!(own.json()["accountEnabled"], true);
    assert_eq!(read(alan("User.Read").await, &format!("/users/{ALAN}")).await.status, 200);
    assert_eq!(read(alan("User.Read").await, &ada).await.status, 403);
    assert_eq!(read(alan("User.Read").await, "/users").await.status, 403);
    assert_eq!(read(alan("User.Read").await, "/users/nobody").await.status, 403, "nor who exists");
}

#[tokio::test]
async fn scenarios_state_groups_and_licences_and_are_saved_with_them() {
    const DIRECTORY: &str = r#"
        [[tenants]]
        id = "10000000-0000-4000-8000-000000000001"
        name = "Contoso"
        domain = "contoso.test"
        users = [
            { name = "ada", licenses = ["CPC"], department = "Finance" }, { name = "mary" }, { name = "bob" },
        ]
        service_plans = [{ name = "small", vcpu_count = 2, ram_gib = 8, storage_gib = 64, product = "enterprise" }]
        subscriptions = [{ name = "CPC", service_plan = "small", units = 2 }]
        groups = [{ name = "Team", members = ["mary", "bob"], licenses = ["CPC"] }]
    "#;
    let world = TestServer::new().await;
    let load = async |text: &str| {
        let prepared = scenario::prepare(&world.app, None, text).await?;
        scenario::load(&world.app, prepared).await
    };
    let refused = load(&DIRECTORY.replace("units = 2", "units = 0")).await.unwrap_err();
    let message = "Invalid scenario: subscription 'CPC': 1 users have one of its licences, and it has 0; add units.";
    assert_eq!(refused.message, message);
    load(DIRECTORY).await.unwrap();
    let licensed = async || {
        let read = |reader: &cloudpc_store::Reader<'_>| {
            let mut licensed = Vec::new();
            for user in reader.user_list(tenant(), None, 9)? {
                if !reader.user_licenses(tenant(), user.id)?.is_empty() {
                    licensed.push(user.user_principal_name);
                }
            }
            licensed.sort_unstable();
            Ok::<_, cloudpc_store::StoreError>(licensed)
        };
        world.app.store.read(read).await.unwrap()
    };
    let first = ["ada@contoso.test", "mary@contoso.test"];
    assert_eq!(licensed().await, first, "an own licence, and that of the first member");
    let saved = scenario::save(&world.app).await.unwrap();
    load(&saved).await.unwrap();
    assert_eq!(licensed().await, first);
    assert_eq!(scenario::save(&world.app).await.unwrap(), saved);
}

#[tokio::test]
async fn there_is_a_most_of_groups_and_of_members() {
    let world = TestServer::new().await;
    let fill = |tx: &mut Tx<'_>| {
        let mut group = Group {
            tenant_id: tenant(),
            id: GroupId(Uuid::nil()),
            display_name: "Team".into(),
            description: None,
            mail_nickname: "team".into(),
            mail_enabled: false,
            security_enabled: true,
            created_at: START,
        };
        for number in 1..GROUPS_MAX {
            group.id = GroupId(Uuid::from_u128(number.into()));
            tx.group_put(&group)?;
        }
        for number in 1..GROUP_MEMBERS_MAX {
            tx.group_member_insert(tenant(), group.id, UserId(Uuid::from_u128(number.into())), START)?;
        }
        Ok::<_, cloudpc_store::StoreError>(group.id)
    };
    let full = world.app.store.write("test.write", fill).await.unwrap();
    create(&world, "groups", group("last", &[])).await;
    let mut refusals = told(&write(&world, "POST", "/groups", group("beyond", &[])).await);
    let members = format!("/groups/{full}/members/$ref");
    let link = |id: &str| json!({"@odata.id": format!("users/{id}")});
    assert_eq!(write(&world, "POST", &members, link(ALAN)).await.status, 204);
    refusals.push_str(&told(&write(&world, "POST", &members, link(ADA)).await));
    assert_snapshot!(refusals);
}
