//! Role-based access control: what a signed-in user may do, with which Cloud PCs, and until when.

mod scope_tags;

use cloudpc_model::{ADMINISTRATOR_ROLE, GroupId, READER_ROLE, TenantId, UserId};
use cloudpc_server::documents::{PRINCIPALS_MAX, SCOPE_TAG_CHARS_MAX, SCOPE_TAGS_MAX};
use cloudpc_server::rbac::catalog;
use cloudpc_store::{Group, StoreError, Tx};
use serde_json::{Value, json};

use crate::world::{DESK_1, DESK_2, DEVICE_1, OWNER_TENANT, PARTNER, PLAN_2, Reply, START, TestServer, Who};

const BETA: &str = "/beta/deviceManagement/virtualEndpoint";
const ROLES: &str = "/beta/roleManagement/cloudPC/roleDefinitions";
const ASSIGNMENTS: &str = "/beta/roleManagement/cloudPC/roleAssignments";
const ACTIONS: &str = "/beta/roleManagement/cloudPC/resourceNamespaces/Microsoft.CloudPC/resourceActions";
const ADA: &str = "10000000-0000-4000-8000-0000000000a1";
pub const ALAN: &str = "10000000-0000-4000-8000-0000000000a2";
const NOBODY: &str = "10000000-0000-4000-8000-00000000dead";

fn tenant() -> TenantId {
    OWNER_TENANT.parse().unwrap()
}

fn action(name: &str) -> String {
    format!("Microsoft.CloudPC/{name}")
}

fn message(reply: &Reply) -> String {
    reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
}

fn assert_refused(reply: &Reply, part: &str) {
    assert_eq!(reply.error(), (403, "Forbidden".into()), "{reply}");
    assert!(message(reply).contains(part), "{part}: {reply}");
}

/// Creates a role definition with these resource actions; returns its id.
async fn create_role(world: &TestServer, actions: &[&str]) -> String {
    let actions: Vec<_> = actions.iter().map(|name| action(name)).collect();
    let body = json!({"displayName": "Role", "rolePermissions": [{"allowedResourceActions": actions}]});
    let made = world.call(Who::Ada, "POST", ROLES, Some(body)).await;
    assert_eq!(made.status, 201, "{made}");
    made.json()["id"].as_str().unwrap().to_owned()
}

fn assignment(principal: &str, role: &str, tags: &[&str]) -> Value {
    json!({"displayName": "Desk", "principalIds": [principal], "roleDefinitionId": role, "appScopeIds": tags})
}

/// Assigns a role; returns the path of the assignment.
pub async fn assign(world: &TestServer, principal: &str, role: &str, tags: &[&str]) -> String {
    let made = world.call(Who::Ada, "POST", ASSIGNMENTS, Some(assignment(principal, role, tags))).await;
    assert_eq!(made.status, 201, "{made}");
    format!("{ASSIGNMENTS}/{}", made.json()["id"].as_str().unwrap())
}

/// Gives Alan these resource actions within these scope tags.
async fn grant(world: &TestServer, actions: &[&str], tags: &[&str]) -> String {
    let role = create_role(world, actions).await;
    assign(world, ALAN, &role, tags).await
}

async fn write(world: &TestServer, work: impl Fn(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static) {
    world.app.store.write("test.write", work).await.unwrap();
}

fn names(reply: &Reply) -> Vec<String> {
    let mut names: Vec<_> =
        reply.rows().iter().map(|row| row["displayName"].as_str().unwrap_or_default().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_user_without_a_role_is_refused_except_for_their_own_cloud_pcs() {
    let world = TestServer::new().await;
    for path in [
        format!("{BETA}/cloudPCs"),
        format!("{BETA}/cloudPCs/$count"),
        format!("{BETA}/cloudPCs/delta()"),
        format!("{BETA}/cloudPCs/{DESK_2}"),
        format!("/beta/users/{ADA}/cloudPCs"),
        "/beta/users/ada@contoso.test/cloudPCs".into(),
        format!("/beta/users/{NOBODY}/cloudPCs"),
        "/v1.0/deviceManagement/virtualEndpoint/cloudPCs".into(),
    ] {
        let refused = world.get(Who::Alan, &path).await;
        assert_refused(&refused, "Microsoft.CloudPC/CloudPCs/Read");
        assert!(message(&refused).contains("/roleManagement/cloudPC/roleAssignments"), "{refused}");
    }
    for (path, missing) in [
        (format!("{BETA}/provisioningPolicies"), "ProvisioningPolicies/Read"),
        (format!("{BETA}/snapshots"), "Snapshot/Read"),
        (format!("{BETA}/auditEvents"), "AuditData/Read"),
        (ROLES.to_owned(), "Roles/Read"),
        (ASSIGNMENTS.to_owned(), "RoleAssignments/Read"),
        (ACTIONS.to_owned(), "Roles/Read"),
        (format!("{BETA}/externalPartners/{PARTNER}"), "ExternalPartnerSettings/Read"),
    ] {
        assert_refused(&world.get(Who::Alan, &path).await, missing);
    }
    let reboot = |id: &str| format!("{BETA}/cloudPCs/{id}/reboot");
    assert_refused(&world.post(Who::Alan, &reboot(DESK_2)).await, "CloudPCs/Reboot");
    let body = json!({"requests": [{"id": "1", "method": "GET", "url": "/deviceManagement/virtualEndpoint/cloudPCs"}]});
    let batch = world.call(Who::Alan, "POST", "/beta/$batch", Some(body)).await.json();
    assert_eq!(batch["responses"][0]["status"], 403, "{batch}");

    for path in ["/beta/me/cloudPCs", &format!("/beta/users/{ALAN}/cloudPCs"), "/beta/users/Alan@contoso.test/cloudPCs"]
    {
        assert_eq!(names(&world.get(Who::Alan, path).await), ["desk-2", "desk-3"], "{path}");
    }
    assert_eq!(world.post(Who::Alan, &format!("/beta/me/cloudPCs/{DESK_2}/reboot")).await.status, 204);
    assert_eq!(world.post(Who::Alan, &format!("/beta/me/cloudPCs/{DESK_1}/reboot")).await.status, 404);
    // What administrators do to a Cloud PC takes a role also on one's own.
    for root in ["/beta/me".to_owned(), format!("/beta/users/{ALAN}")] {
        for (action, verb, body) in [
            ("changeUserAccountType", "ChangeUserAccountType", json!({"userAccountType": "administrator"})),
            ("setReviewStatus", "PlaceUnderReview", json!({"reviewStatus": {"inReview": false}})),
            ("resize", "Resize", json!({"targetServicePlanId": PLAN_2})),
            ("endGracePeriod", "EndGracePeriod", json!({})),
            ("retryPartnerAgentInstallation", "RetryPartnerAgentInstallation", json!({})),
        ] {
            let path = format!("{root}/cloudPCs/{DESK_2}/{action}");
            assert_refused(&world.call(Who::Alan, "POST", &path, Some(body)).await, &format!("CloudPCs/{verb}"));
        }
    }
    // Applications and administrators need no role assignment.
    for who in [Who::Writer, Who::Ada] {
        assert_eq!(world.get(who, &format!("{BETA}/cloudPCs")).await.rows().len(), 3);
    }
}

#[tokio::test]
async fn a_role_grants_its_actions_and_nothing_else() {
    let world = TestServer::new().await;
    grant(&world, &["CloudPCs/Read", "CloudPCs/Rename"], &[]).await;
    assert_eq!(world.get(Who::Alan, &format!("{BETA}/cloudPCs")).await.rows().len(), 3);
    let rename = format!("{BETA}/cloudPCs/{DESK_1}/rename");
    assert_eq!(world.call(Who::Alan, "POST", &rename, Some(json!({"displayName": "new"}))).await.status, 204);
    assert_refused(
        &world.post(Who::Alan, &format!("{BETA}/cloudPCs/{DESK_1}/reprovision")).await,
        "CloudPCs/Reprovision",
    );
    let device = format!("/beta/deviceManagement/managedDevices/{DEVICE_1}/reprovisionCloudPc");
    assert_refused(&world.post(Who::Alan, &device).await, "CloudPCs/Reprovision");

    let effective = world.get(Who::Alan, &format!("{BETA}/getEffectivePermissions()")).await;
    assert_eq!(effective.rows(), [json!(action("CloudPCs/Read")), json!(action("CloudPCs/Rename"))]);
    let everything = world.get(Who::Ada, &format!("{BETA}/getEffectivePermissions()")).await;
    assert_eq!(everything.rows(), [json!("*")]);
    grant(&world, &["CloudPCs/Reboot"], &["7"]).await;
    let scoped = world.get(Who::Alan, &format!("{BETA}/retrieveScopedPermissions()")).await.rows();
    assert_eq!(scoped[0], json!({"permission": action("CloudPCs/Read"), "scopeIds": ["/"]}));
    assert_eq!(scoped[1], json!({"permission": action("CloudPCs/Reboot"), "scopeIds": ["7"]}));
}

#[tokio::test]
async fn a_right_ends_with_the_assignment_the_membership_and_the_role() {
    let world = TestServer::new().await;
    let list = format!("{BETA}/cloudPCs");
    let status = async || world.get(Who::Alan, &list).await.status.as_u16();
    let group: GroupId = "10000000-0000-4000-8000-0000000006a1".parse().unwrap();
    let team = Group {
        tenant_id: tenant(),
        id: group,
        display_name: "Help desk".into(),
        description: None,
        mail_nickname: "helpdesk".into(),
        mail_enabled: false,
        security_enabled: true,
        created_at: START,
    };
    write(&world, move |tx| tx.group_put(&team)).await;
    let role = create_role(&world, &["CloudPCs/Read"]).await;
    let by_group = assign(&world, &group.to_string(), &role, &[]).await;
    assert_eq!(status().await, 403);
    let alan: UserId = ALAN.parse().unwrap();
    write(&world, move |tx| tx.group_member_insert(tenant(), group, alan, START).map(drop)).await;
    assert_eq!(status().await, 200);
    write(&world, move |tx| tx.group_member_delete(tenant(), group, alan, START).map(drop)).await;
    assert_eq!(status().await, 403);
    write(&world, move |tx| tx.group_member_insert(tenant(), group, alan, START).map(drop)).await;
    assert_eq!(status().await, 200);
    // Switched off, and changed.
    let one = format!("{ROLES}/{role}");
    assert_eq!(world.call(Who::Ada, "PATCH", &one, Some(json!({"isEnabled": false}))).await.status, 200);
    assert_eq!(status().await, 403);
    assert_eq!(world.call(Who::Ada, "PATCH", &one, Some(json!({"isEnabled": true}))).await.status, 200);
    assert_eq!(status().await, 200);
    let excluded = json!({"rolePermissions": [{
        "allowedResourceActions": [action("CloudPCs/Read")], "excludedResourceActions": [action("CloudPCs/Read")],
    }]});
    assert_eq!(world.call(Who::Ada, "PATCH", &one, Some(excluded)).await.status, 200);
    assert_eq!(status().await, 403);
    // A role in use stays; a deleted group grants nothing and is no principal any more.
    assert_eq!(world.call(Who::Ada, "DELETE", &one, None).await.error(), (409, "resourceInUse".into()));
    let again = assign(&world, &group.to_string(), READER_ROLE.id, &[]).await;
    assert_eq!(status().await, 200);
    write(&world, move |tx| tx.group_delete(tenant(), group, START).map(drop)).await;
    assert_eq!(status().await, 403);
    assert_eq!(world.get(Who::Ada, &format!("{again}/principals")).await.rows(), Vec::<Value>::new());
    let direct = assign(&world, ALAN, READER_ROLE.id, &[]).await;
    assert_eq!(status().await, 200);
    for path in [by_group, direct] {
        assert_eq!(world.call(Who::Ada, "DELETE", &path, None).await.status, 204);
    }
    assert_eq!(status().await, 403);
    assert_eq!(world.call(Who::Ada, "DELETE", &one, None).await.status, 204);
}

#[tokio::test]
async fn built_in_roles_are_in_every_tenant_and_cannot_be_changed() {
    let world = TestServer::new().await;
    for who in [Who::Ada, Who::Stranger] {
        let roles = world.get(who, ROLES).await.rows();
        let ids: Vec<_> = roles.iter().map(|role| role["id"].as_str().unwrap()).collect();
        assert_eq!(ids, [ADMINISTRATOR_ROLE.id, READER_ROLE.id]);
        assert!(roles.iter().all(|role| role["isBuiltIn"] == true && role["isEnabled"] == true), "{roles:?}");
    }
    let own = world.get(Who::Ada, &format!("{ROLES}?$filter=isBuiltIn%20eq%20false")).await;
    assert_eq!(own.rows(), Vec::<Value>::new());
    for role in [ADMINISTRATOR_ROLE.id, READER_ROLE.id] {
        let one = format!("{ROLES}/{role}");
        assert_refused(&world.call(Who::Ada, "PATCH", &one, Some(json!({"displayName": "Mine"}))).await, "built in");
        assert_refused(&world.call(Who::Ada, "DELETE", &one, None).await, "built in");
    }
    let all: Vec<_> = catalog::actions().map(|action| json!(action.name())).collect();
    let of = async |role: &str| {
        let role = world.get(Who::Ada, &format!("{ROLES}/{role}")).await.json();
        role["rolePermissions"][0]["allowedResourceActions"].as_array().unwrap().clone()
    };
    assert_eq!(of(ADMINISTRATOR_ROLE.id).await.len(), all.len());
    let reads = of(READER_ROLE.id).await;
    assert!(!reads.is_empty() && reads.iter().all(|name| name.as_str().unwrap().ends_with("/Read")));
    let shown = world.get(Who::Ada, &format!("{ACTIONS}?$top=999")).await.rows();
    assert_eq!(shown.iter().map(|action| action["name"].clone()).collect::<Vec<_>>(), all);
    assign(&world, ALAN, READER_ROLE.id, &[]).await;
    assert_eq!(world.get(Who::Alan, &format!("{BETA}/auditEvents")).await.status, 200);
    assert_refused(&world.post(Who::Alan, &format!("{BETA}/cloudPCs/{DESK_1}/reboot")).await, "CloudPCs/Reboot");
    // A path without any method that is served.
    let restore = world.post(Who::Ada, &format!("{ROLES}/{}/restore", READER_ROLE.id)).await;
    assert_eq!((restore.status.as_u16(), &restore.headers["allow"]), (405, &"".parse().unwrap()));
    let rename = world.call(Who::Ada, "PATCH", &format!("{ACTIONS}/x"), Some(json!({}))).await;
    assert_eq!((rename.status.as_u16(), &rename.headers["allow"]), (405, &"GET".parse().unwrap()));
}

#[tokio::test]
async fn wrong_roles_and_assignments_are_refused_and_say_why() {
    let world = TestServer::new().await;
    let role = |permission: Value| json!({"displayName": "Role", "rolePermissions": [permission]});
    let read = action("CloudPCs/Read");
    for (body, part) in [
        (role(json!({"allowedResourceActions": ["Microsoft.CloudPC/CloudPCs/*"]})), "resourceActions"),
        (role(json!({"allowedResourceActions": [read.to_lowercase()]})), "is not a resource action"),
        (role(json!({"allowedResourceActions": [read], "excludedResourceActions": ["x"]})), "'x'"),
        (role(json!({"allowedResourceActions": [read], "condition": "true"})), "condition"),
        (json!({"displayName": "Role", "rolePermissions": []}), "rolePermissions"),
        (
            json!({"displayName": "Role", "resourceScopes": ["/x"], "rolePermissions": [{"allowedResourceActions": [read]}]}),
            "resourceScopes",
        ),
    ] {
        let refused = world.call(Who::Ada, "POST", ROLES, Some(body)).await;
        assert_eq!(refused.status, 400, "{refused}");
        assert!(message(&refused).contains(part), "{part}: {refused}");
    }
    let with = |property: &str, value: Value| {
        let mut body = assignment(ALAN, READER_ROLE.id, &[]);
        body[property] = value;
        body
    };
    let tags = |count: usize| json!((0..count).map(|tag| tag.to_string()).collect::<Vec<_>>());
    for (body, part) in [
        (with("principalIds", json!([NOBODY])), "no user or group"),
        (with("principalIds", json!(["alan"])), "GUID"),
        (with("principalIds", json!(vec![ALAN; PRINCIPALS_MAX + 1])), "at most 100"),
        (with("roleDefinitionId", json!(NOBODY)), "does not exist"),
        (with("directoryScopeIds", json!([ALAN])), "only '/'"),
        (with("condition", json!("true")), "condition"),
        (with("appScopeIds", tags(SCOPE_TAGS_MAX + 1)), "at most 100"),
        (with("appScopeIds", json!(["x".repeat(SCOPE_TAG_CHARS_MAX + 1)])), "not a scope tag"),
        (with("appScopeIds", json!([""])), "not a scope tag"),
    ] {
        let refused = world.call(Who::Ada, "POST", ASSIGNMENTS, Some(body)).await;
        assert_eq!(refused.status, 400, "{refused}");
        assert!(message(&refused).contains(part), "{part}: {refused}");
    }
    for body in [
        with("appScopeIds", tags(SCOPE_TAGS_MAX)),
        with("appScopeIds", json!(["x".repeat(SCOPE_TAG_CHARS_MAX)])),
        with("principalIds", json!(vec![ALAN; PRINCIPALS_MAX])),
    ] {
        assert_eq!(world.call(Who::Ada, "POST", ASSIGNMENTS, Some(body)).await.status, 201);
    }
}

#[tokio::test]
async fn an_assignment_shows_its_role_principals_and_scopes() {
    let world = TestServer::new().await;
    let one = assign(&world, ADA, READER_ROLE.id, &["0", "7"]).await;
    let shown = world
        .get(
            Who::Ada,
            &format!("{one}?$expand=roleDefinition($select=displayName),principals,appScopes,directoryScopes"),
        )
        .await;
    let shown = shown.json();
    assert_eq!(shown["roleDefinition"], json!({"displayName": READER_ROLE.name}));
    let ada = json!({"@odata.type": "#microsoft.graph.user", "id": ADA, "deletedDateTime": null});
    assert_eq!(shown["principals"], json!([ada]));
    assert_eq!(shown["appScopes"][1]["id"], "7");
    assert_eq!((&shown["directoryScopes"], &shown["directoryScopeIds"]), (&json!([]), &json!(["/"])));
    assert_eq!(world.get(Who::Ada, &format!("{one}/principals")).await.rows(), std::slice::from_ref(&ada));
    assert_eq!(world.get(Who::Ada, &format!("{one}/appScopes/7")).await.json()["displayName"], "7");
    assert_eq!(world.get(Who::Ada, &format!("{one}/roleDefinition")).await.json()["id"], READER_ROLE.id);
    let assigned = |arguments: &str| format!("{ROLES}/{}/assignedPrincipals({arguments})", READER_ROLE.id);
    let all = assigned("transitive=false,directoryScopeType='tenant',directoryScopeId='%2F'");
    assert_eq!(world.get(Who::Ada, &all).await.rows(), [ada]);
    let elsewhere = assigned("transitive=false,directoryScopeType='',directoryScopeId='%2FadministrativeUnits%2F1'");
    assert_eq!(world.get(Who::Ada, &elsewhere).await.rows(), Vec::<Value>::new());
    // What may not be read is not expanded either.
    grant(&world, &["RoleAssignments/Read"], &[]).await;
    assert_eq!(world.get(Who::Alan, &one).await.status, 200);
    for path in [
        format!("{one}?$expand=roleDefinition"),
        format!("{one}/roleDefinition"),
        format!("{ASSIGNMENTS}?$expand=roleDefinition"),
    ] {
        assert_refused(&world.get(Who::Alan, &path).await, "Roles/Read");
    }
}

#[tokio::test]
async fn nobody_grants_what_they_lack() {
    let world = TestServer::new().await;
    let manage = ["Create", "Update", "Delete"].map(|verb| format!("RoleAssignments/{verb}"));
    let mut actions: Vec<_> = manage.iter().map(String::as_str).collect();
    actions.extend(["RoleAssignments/Read", "Roles/Read", "Roles/Create", "Roles/Update", "Roles/Delete"]);
    grant(&world, &actions, &[]).await;
    grant(&world, &["CloudPCs/Read"], &["7"]).await;
    let post = async |path: &str, body: Value| world.call(Who::Alan, "POST", path, Some(body)).await;
    let role =
        |name: &str| json!({"displayName": "Role", "rolePermissions": [{"allowedResourceActions": [action(name)]}]});
    // A definition can be assigned without scope tags.
    for lacked in ["CloudPCs/Reboot", "CloudPCs/Read"] {
        assert_refused(&post(ROLES, role(lacked)).await, lacked);
    }
    let made = post(ROLES, role("Roles/Read")).await;
    assert_eq!(made.status, 201, "{made}");
    let own = format!("{ROLES}/{}", made.json()["id"].as_str().unwrap());
    let more =
        json!({"rolePermissions": [{"allowedResourceActions": [action("Roles/Read"), action("CloudPCs/Reboot")]}]});
    assert_refused(&world.call(Who::Alan, "PATCH", &own, Some(more)).await, "CloudPCs/Reboot");
    for role in [ADMINISTRATOR_ROLE.id, READER_ROLE.id] {
        assert_refused(&post(ASSIGNMENTS, assignment(ALAN, role, &[])).await, "You cannot assign this role");
    }
    let reader = create_role(&world, &["CloudPCs/Read"]).await;
    for tags in [vec![], vec!["0"], vec!["7", "0"], vec!["/"]] {
        assert_refused(&post(ASSIGNMENTS, assignment(ALAN, &reader, &tags)).await, "CloudPCs/Read");
    }
    let made = post(ASSIGNMENTS, assignment(ADA, &reader, &["7"])).await;
    assert_eq!(made.status, 201, "{made}");
    // Nor by a change of what someone else has assigned.
    let given = assign(&world, ADA, ADMINISTRATOR_ROLE.id, &[]).await;
    for change in [json!({"principalIds": [ADA, ALAN]}), json!({"appScopeIds": ["7"], "principalIds": [ALAN]})] {
        assert_refused(&world.call(Who::Alan, "PATCH", &given, Some(change)).await, "You cannot assign this role");
    }
    let wider = format!("{ASSIGNMENTS}/{}", made.json()["id"].as_str().unwrap());
    assert_refused(&world.call(Who::Alan, "PATCH", &wider, Some(json!({"appScopeIds": []}))).await, "CloudPCs/Read");
    assert_eq!(world.call(Who::Alan, "PATCH", &given, Some(json!({"description": "Known"}))).await.status, 200);
    // Rights over roles that are limited to scope tags change none.
    let limited = TestServer::new().await;
    grant(&limited, &actions, &["0"]).await;
    let refused = limited.call(Who::Alan, "POST", ROLES, Some(role("Roles/Read"))).await;
    assert_refused(&refused, "without scope tags");
}

/// A disabled role can be enabled, and what a role excludes can be allowed again.
#[tokio::test]
async fn what_a_role_may_grant_later_counts_when_it_is_assigned() {
    let world = TestServer::new().await;
    let manage = ["Create", "Update", "Delete", "Read"];
    let actions: Vec<_> =
        ["Roles", "RoleAssignments"].iter().flat_map(|of| manage.map(|verb| format!("{of}/{verb}"))).collect();
    grant(&world, &actions.iter().map(String::as_str).collect::<Vec<_>>(), &[]).await;
    let reprovision = action("CloudPCs/Reprovision");
    let bodies = [
        json!({"displayName": "Off", "isEnabled": false, "rolePermissions": [{"allowedResourceActions": [reprovision]}]}),
        json!({"displayName": "But", "rolePermissions": [
            {"allowedResourceActions": [reprovision], "excludedResourceActions": [reprovision]},
        ]}),
    ];
    for body in bodies {
        assert_refused(&world.call(Who::Alan, "POST", ROLES, Some(body.clone())).await, "CloudPCs/Reprovision");
        let made = world.call(Who::Ada, "POST", ROLES, Some(body)).await.json();
        let role = made["id"].as_str().unwrap();
        let assigned = world.call(Who::Alan, "POST", ASSIGNMENTS, Some(assignment(ALAN, role, &[]))).await;
        assert_refused(&assigned, "You cannot assign this role");
        let enabled = json!({"isEnabled": true, "rolePermissions": [{"allowedResourceActions": [reprovision]}]});
        let enabled = world.call(Who::Alan, "PATCH", &format!("{ROLES}/{role}"), Some(enabled)).await;
        assert_refused(&enabled, "CloudPCs/Reprovision");
    }
}

#[tokio::test]
async fn users_without_a_role_cancel_only_their_own_requests() {
    let world = TestServer::new().await;
    let cancel = async |who: Who| {
        let actions = world.get(who, &format!("/beta/me/cloudPCs/{DESK_2}/cloudpc.actions")).await.rows();
        let id = actions[0]["id"].as_str().unwrap().to_owned();
        world.post(who, &format!("/beta/me/cloudPCs/{DESK_2}/cloudpc.actions/{id}/cloudpc.cancel")).await
    };
    let review = json!({"reviewStatus": {"inReview": true}});
    let set = world.call(Who::Writer, "POST", &format!("{BETA}/cloudPCs/{DESK_2}/setReviewStatus"), Some(review)).await;
    assert_eq!(set.status, 204, "{set}");
    assert_refused(&cancel(Who::Alan).await, "Another caller requested this action");
    let other = TestServer::new().await;
    assert_eq!(other.post(Who::Alan, &format!("/beta/me/cloudPCs/{DESK_2}/reboot")).await.status, 204);
    let actions = other.get(Who::Alan, &format!("/beta/me/cloudPCs/{DESK_2}/cloudpc.actions")).await.rows();
    let path =
        format!("/beta/me/cloudPCs/{DESK_2}/cloudpc.actions/{}/cloudpc.cancel", actions[0]["id"].as_str().unwrap());
    assert_eq!(other.post(Who::Alan, &path).await.status, 204);
}

#[tokio::test]
async fn export_jobs_show_and_give_up_only_what_the_caller_may_report() {
    let world = TestServer::new().await;
    let jobs = format!("{BETA}/reports/exportJobs");
    let made = world.call(Who::Writer, "POST", &jobs, Some(json!({"reportName": "actionStatusReport"}))).await.json();
    let job = format!("{jobs}/{}", made["id"].as_str().unwrap());
    world.run_exports();
    while world.get(Who::Writer, &job).await.json()["exportJobStatus"] != "completed" {
        tokio::task::yield_now().await;
    }
    grant(&world, &["PerformanceReports/Read"], &[]).await;
    grant(&world, &["ActionStatus/Read"], &["7"]).await;
    assert!(world.get(Who::Writer, &job).await.json()["exportUrl"].is_string());
    assert_eq!(world.get(Who::Alan, &job).await.json()["exportUrl"], Value::Null);
    assert_refused(&world.call(Who::Alan, "DELETE", &job, None).await, "ActionStatus/Read");
    grant(&world, &["ActionStatus/Read"], &[]).await;
    assert!(world.get(Who::Alan, &job).await.json()["exportUrl"].is_string());
}
