//! Filter, order, paging and count, tested on Cloud PCs.

use serde_json::Value;

use cloudpc_server::config::{Config, Fidelity};

use crate::world::{FLEET, Reply, TestServer, Who};

const CLOUD_PCS: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs";

fn names(reply: &Reply) -> Vec<String> {
    reply.rows().iter().map(|row| row["displayName"].as_str().unwrap().to_owned()).collect()
}

async fn listed(world: &TestServer, query: &str) -> Vec<String> {
    names(&world.get(Who::Reader, &format!("{CLOUD_PCS}?{query}")).await)
}

#[tokio::test]
async fn filter_selects_rows() {
    let world = TestServer::new().await;
    assert_eq!(listed(&world, "$filter=displayName%20eq%20'desk-2'").await, ["desk-2"]);
    assert_eq!(listed(&world, "$filter=status%20eq%20'failed'").await, ["desk-3"]);
    assert_eq!(listed(&world, "$filter=osVersion%20eq%20'windows11'").await.len(), 3);
    assert_eq!(listed(&world, "$filter=startswith(displayName,'desk')&$top=2").await, ["desk-1", "desk-2"]);
    let acted_on = "$filter=lastRemoteActionResult/actionName%20eq%20'Reboot'";
    assert_eq!(listed(&world, acted_on).await, Vec::<String>::new());
    world.post(Who::Writer, &format!("{CLOUD_PCS}/{}/reboot", crate::world::DESK_2)).await;
    assert_eq!(listed(&world, acted_on).await, ["desk-2"]);
    let count = world.get(Who::Reader, &format!("{CLOUD_PCS}/$count?$filter=status%20eq%20'failed'")).await;
    assert_eq!(count.body, "1");
    let counted = world.get(Who::Reader, &format!("{CLOUD_PCS}?$count=true&$top=1")).await.json();
    assert_eq!(counted["@odata.count"], 3);
}

#[tokio::test]
async fn user_names_and_guids_in_filters_are_case_insensitive() {
    let world = TestServer::new().await;
    let device = crate::world::DEVICE_1.to_uppercase();
    for condition in [
        "userPrincipalName%20eq%20'ADA@contoso.test'".to_owned(),
        "startswith(userPrincipalName,'Ada@')".to_owned(),
        format!("managedDeviceId%20eq%20'{device}'"),
        format!("id%20eq%20'{}'", crate::world::DESK_1.to_uppercase()),
    ] {
        assert_eq!(listed(&world, &format!("$filter={condition}")).await, ["desk-1"], "{condition}");
    }
}

/// Under strict fidelity a client without `Prefer: include-unknown-enum-members` receives
/// `unknownFutureValue`, but can filter by the member.
#[tokio::test]
async fn filter_compares_the_stored_enum_member() {
    let mut config = Config::default();
    config.identity.fidelity = Fidelity::Strict;
    let world = TestServer::with(config).await;
    let frontline = FLEET.replace("product = \"business\"", "product = \"frontline\"");
    let prepared = cloudpc_server::scenario::prepare(&world.app, None, &frontline).await.unwrap();
    cloudpc_server::scenario::load(&world.app, prepared).await.unwrap();
    let shared = "$filter=provisioningType%20eq%20'sharedByUser'";
    for list in ["cloudPCs", "servicePlans"] {
        let path = format!("/beta/deviceManagement/virtualEndpoint/{list}");
        let rows = world.get(Who::Reader, &format!("{path}?{shared}&$select=provisioningType")).await.rows();
        assert!(rows.len() > 1, "{list}");
        assert!(rows.iter().all(|row| row["provisioningType"] == "unknownFutureValue"), "{rows:?}");
        let count = world.get(Who::Reader, &format!("{path}/$count?{shared}")).await;
        assert_eq!(count.body, rows.len().to_string());
    }
    let actions = format!("{CLOUD_PCS}/{}/getSupportedCloudPcRemoteActions", crate::world::DESK_1);
    let power = world.get(Who::Reader, &format!("{actions}?$filter=actionName%20eq%20'powerOn'")).await.rows();
    assert_eq!(power, [serde_json::json!({"actionName": "unknownFutureValue", "actionCapability": "enabled"})]);
}

#[tokio::test]
async fn unsupported_format_and_expand_get_400() {
    let world = TestServer::new().await;
    for query in ["$format=json", "$format=application/json;odata.metadata=none", "$expand=*", "$expand=*&$top=1"] {
        assert_eq!(world.get(Who::Reader, &format!("{CLOUD_PCS}?{query}")).await.status, 200, "{query}");
    }
    for query in ["$format=xml", "$format=text/csv", "$expand=*,x", "$expand=assignments"] {
        let reply = world.get(Who::Reader, &format!("{CLOUD_PCS}?{query}")).await;
        assert_eq!(reply.error(), (400, "BadRequest".into()), "{query}");
        assert_eq!(reply.json()["error"]["target"], query.split('=').next().unwrap(), "{query}");
    }
}

#[tokio::test]
async fn orderby_sorts_rows() {
    let world = TestServer::new().await;
    assert_eq!(listed(&world, "$orderby=displayName%20desc").await, ["desk-3", "desk-2", "desk-1"]);
    assert_eq!(listed(&world, "$orderby=status,displayName%20desc").await, ["desk-3", "desk-2", "desk-1"]);
    assert_eq!(listed(&world, "$orderby=userPrincipalName,displayName%20desc").await, ["desk-1", "desk-3", "desk-2"]);
    assert_eq!(listed(&world, "$orderby=displayName&$skip=1").await, ["desk-2", "desk-3"]);
}

#[tokio::test]
async fn pages_are_contiguous() {
    let world = TestServer::new().await;
    for query in [
        "$top=1",
        "$top=2",
        "$top=1&$orderby=displayName%20desc",
        "$top=1&$filter=contains(displayName,'desk')",
        "$top=1&$orderby=status&$filter=contains(displayName,'desk')&$select=displayName&$count=true",
        "$top=1&$skip=1",
    ] {
        let mut all = Vec::new();
        let mut next = Some(format!("{CLOUD_PCS}?{query}"));
        while let Some(link) = next {
            let reply = world.get(Who::Reader, &link).await;
            assert_eq!(reply.status, 200, "{link}: {}", reply.body);
            all.extend(names(&reply));
            next = reply.next_link();
            if let Some(next) = &next {
                assert!(next.starts_with(&format!("https://cloudpc.test{CLOUD_PCS}?")), "{next}");
            }
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), if query.contains("$skip") { 2 } else { 3 }, "{query}");
    }
}

#[tokio::test]
async fn skip_token_is_bound_to_its_request() {
    let world = TestServer::new().await;
    let link = world.get(Who::Reader, &format!("{CLOUD_PCS}?$top=1")).await.next_link().unwrap();
    let token = link.split("$skiptoken=").nth(1).unwrap().to_owned();
    for path in [
        format!("{CLOUD_PCS}?$top=1&$filter=status%20eq%20'failed'&$skiptoken={token}"),
        format!("{CLOUD_PCS}?$orderby=status&$skiptoken={token}"),
        format!("/beta/deviceManagement/managedDevices?$skiptoken={token}"),
        format!("{CLOUD_PCS}?$skiptoken=x{token}"),
        format!("{CLOUD_PCS}?$skiptoken="),
        format!("{CLOUD_PCS}?$skiptoken=made-up"),
    ] {
        assert_eq!(world.get(Who::Reader, &path).await.error(), (400, "BadRequest".into()), "{path}");
    }
    let foreign = world.get(Who::Stranger, &link).await;
    assert_eq!(foreign.error(), (400, "BadRequest".into()));
    // The page size may change between pages.
    let path = format!("{CLOUD_PCS}?$top=2&$skiptoken={token}");
    assert_eq!(names(&world.get(Who::Reader, &path).await), ["desk-2", "desk-3"]);
}

#[tokio::test]
async fn filter_on_a_selectable_property_does_not_add_it_to_rows() {
    let world = TestServer::new().await;
    let reply = world.get(Who::Reader, &format!("{CLOUD_PCS}?$filter=osVersion%20eq%20'windows11'&$top=1")).await;
    assert_eq!(reply.rows()[0].get("osVersion"), None::<&Value>);
}
