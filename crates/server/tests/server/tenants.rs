//! Tenant isolation: a request that names an object of another tenant gets the same response as one
//! that names a missing object.

use serde_json::{Value, json};

use crate::cases::cases;
use crate::scene::{ROOT, Scene, things};
use crate::world::{DESK_1, PLAN_2, Reply, Who};

/// Returns a well-formed id that does not exist.
fn missing_id(name: &str) -> &'static str {
    match name {
        "{action}" | "{auditEvent}" => "999999",
        "{galleryImage}" => "nobody_nothing_nowhere",
        "{snapshot}" => "CPC_90000000-0000-4000-8000-0000000000d1_90000000-0000-4000-8000-0000000000d1",
        _ => "90000000-0000-4000-8000-0000000000d1",
    }
}

/// A valid request of the first tenant, with placeholders for ids.
struct SentRequest {
    what: String,
    who: Who,
    method: &'static str,
    path: String,
    body: String,
}

/// Returns requests of all operations, and all other ways to name an object.
fn requests() -> Vec<SentRequest> {
    let named = |body: Value| body.to_string().replace(DESK_1, "{cloudPC}").replace(PLAN_2, "{servicePlan}");
    let of_cases = cases().into_iter().map(|case| SentRequest {
        what: case.key.to_owned(),
        who: case.writer(),
        method: case.method,
        path: case.path.to_owned(),
        body: case.body.map(named).unwrap_or_default(),
    });
    let results = "/externalPartners/{partner}/retrieveDeployAgentActionResults";
    let paths = [
        format!("{results}(activityId='{{activity}}',cloudPcId='')"),
        format!("{results}(activityId='',cloudPcId='{{cloudPC}}')"),
        format!("{results}(activityId='{{activity}}',cloudPcId='{{cloudPC}}')"),
        format!(
            "{results}(activityId='@activityId',cloudPcId='@cloudPcId')?activityId={{activity}}&cloudPcId={{cloudPC}}"
        ),
        "/cloudPCs?$filter=id%20eq%20'{cloudPC}'".to_owned(),
        "/cloudPCs?$filter=managedDeviceId%20eq%20'{managedDevice}'&$count=true".to_owned(),
        "/snapshots?$filter=cloudPcId%20eq%20'{cloudPC}'".to_owned(),
        "/auditEvents?$filter=id%20eq%20'{auditEvent}'".to_owned(),
        "../managedDevices?$filter=id%20eq%20'{managedDevice}'".to_owned(),
    ];
    let of_paths = paths.into_iter().map(|path| SentRequest {
        what: path.clone(),
        who: Who::Writer,
        method: "GET",
        path,
        body: String::new(),
    });
    of_cases.chain(of_paths).collect()
}

#[tokio::test]
async fn object_of_another_tenant_looks_missing() {
    let scene = Scene::new().await;
    let plan = "20000000-0000-4000-8000-0000000000c1";
    let theirs = async || things(&scene.world, Who::Stranger, 2, plan, "fabrikam_desktop_large").await;
    // Audit ids start at 1 in each tenant; the second round creates an id that the first tenant
    // lacks.
    theirs().await;
    let foreign = theirs().await;
    let send = async |request: &SentRequest, name: &str, other: &str| {
        let token = scene.world.token(request.who).await;
        let json = [("content-type", "application/json")];
        let path = scene.fill(request.path.replace(name, other));
        let body = scene.named(request.body.replace(name, other)).into_bytes();
        scene.send(Some(&token), request.method, &path, &json, body).await
    };
    let mut compared = 0;
    for request in requests() {
        for (name, _) in &scene.ids {
            // A deployment to a missing Cloud PC and a bulk action on one are accepted; other tests
            // check their results.
            let is_accepted =
                ["cloudPcExternalPartner.deployAgent", "cloudPcBulkAction.create"].contains(&&*request.what);
            let deployed = is_accepted && *name == "{cloudPC}";
            if deployed
                || crate::document_cases::is_shared(name)
                // Both tenants have these below objects of their own.
                || ["{appScope}", "{assignedPrincipal}", "{resourceAction}"].contains(name)
                || !request.path.contains(name) && !request.body.contains(name)
            {
                continue;
            }
            let theirs = &foreign.iter().find(|(other, _)| other == name).unwrap().1;
            let (theirs, missing) = (theirs.as_str(), missing_id(name));
            let mut seen = Vec::new();
            for other in [theirs, missing] {
                let reply = send(&request, name, other).await;
                let empty = request.method == "GET" && (reply.body.contains("\"value\":[]") || reply.body == "0");
                // These answer which devices are missing.
                let empty = empty || request.what.starts_with("managedDevice.bulk");
                assert!(empty || [400, 404].contains(&reply.status.as_u16()), "{}: {name}: {reply}", request.what);
                seen.push(normalized(&reply, other));
            }
            assert_eq!(seen[0], seen[1], "{}: {name}", request.what);
            compared += 1;
        }
    }
    // At least one per place of an id.
    assert!(compared > 60, "{compared}");
}

/// Returns status, headers and body, with the id replaced.
fn normalized(reply: &Reply, id: &str) -> String {
    // A short number may also be part of a date.
    let (id, hidden) = if id.len() < 10 { (format!("'{id}'"), "'<id>'") } else { (id.to_owned(), "<id>") };
    reply.to_string().replace(&id, hidden).replace(&id.to_ascii_lowercase(), hidden)
}

#[tokio::test]
async fn deployment_to_a_foreign_cloud_pc_ends_like_one_to_a_missing_cloud_pc() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let (theirs, missing) = ("20000000-0000-4000-8000-0000000000d1", missing_id("{cloudPC}"));
    let partner = &scene.ids.iter().find(|(name, _)| *name == "{partner}").unwrap().1;
    let path = format!("{ROOT}/externalPartners/{partner}");
    world.run();
    let body = json!({"cloudPcIds": [theirs, missing, DESK_1]});
    let activity =
        world.call(Who::Writer, "POST", &format!("{path}/deployAgent"), Some(body)).await.json()["value"].clone();
    world.rest().await;
    let activity = activity.as_str().unwrap();
    let results = format!("{path}/retrieveDeployAgentActionResults(activityId='{activity}',cloudPcId='')");
    let rows = world.get(Who::Writer, &results).await.rows();
    let row = |id: &str| {
        let mut row = rows.iter().find(|row| row["cloudPcId"] == id).unwrap().clone();
        for property in ["cloudPcId", "actionId", "id"] {
            if let Some(value) = row.get_mut(property) {
                *value = Value::Null;
            }
        }
        row.to_string().replace(id, "<id>")
    };
    assert_eq!(row(theirs), row(missing));
    assert!(row(theirs).contains("deviceNotFound"), "{}", row(theirs));
    assert!(row(DESK_1).contains("succeeded"), "{}", row(DESK_1));

    // The other tenant has no trace of it.
    for list in [format!("cloudPCs/{theirs}/cloudpc.actions"), "auditEvents".to_owned()] {
        assert_eq!(world.get(Who::Stranger, &format!("{ROOT}/{list}")).await.rows(), Vec::<Value>::new(), "{list}");
    }
}

#[tokio::test]
async fn user_of_another_tenant_looks_missing() {
    let scene = Scene::new().await;
    let ask = async |user: &str, path: &str| {
        let reply = scene.world.get(Who::Ada, &format!("/beta/users/{user}/cloudPCs{path}")).await;
        normalized(&reply, user)
    };
    for path in ["", "/$count", "?$filter=status%20eq%20'provisioned'", &format!("/{DESK_1}")] {
        let by_id = ask("20000000-0000-4000-8000-0000000000a1", path).await;
        assert_eq!(by_id, ask(missing_id("{user}"), path).await, "{path}");
        let by_name = ask("grace@fabrikam.test", path).await;
        assert_eq!(by_name, ask("nobody@fabrikam.test", path).await, "{path}");
    }
}
