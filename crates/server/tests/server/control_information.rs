//! `odata.metadata`: none, minimal and full control information.

use axum::body::Body;
use cloudpc_graph::edm::TypeKind;
use cloudpc_graph::{Edm, Version};
use http::Request;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::scene::{ROOT, Scene};
use crate::world::{BASE, DESK_1, PARTNER, Reply, TestServer, Who};

async fn accept(world: &TestServer, who: Who, path: &str, accept: &str) -> Reply {
    let path = path.strip_prefix(BASE).unwrap_or(path);
    let token = format!("Bearer {}", world.token(who).await);
    let request = Request::get(path).header("authorization", token).header("accept", accept);
    world.send(request.body(Body::empty()).unwrap()).await
}

fn media(level: &str) -> String {
    format!("application/json;odata.metadata={level}")
}

/// Removes all members whose name has an `@`.
fn data(value: &Value) -> Value {
    match value {
        Value::Array(elements) => elements.iter().map(data).collect(),
        Value::Object(members) => {
            let plain = members.iter().filter(|(name, _)| !name.contains('@'));
            Value::Object(plain.map(|(name, value)| (name.clone(), data(value))).collect())
        }
        other => other.clone(),
    }
}

/// Calls `visit` with each member of each object.
fn each_member(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| each_member(element, visit)),
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            visit(name, value);
            each_member(value, visit);
        }),
        _ => {}
    }
}

#[tokio::test]
async fn every_read_has_the_same_data_at_every_level() {
    let scene = Scene::new().await;
    for case in cases().into_iter().filter(|case| case.method == "GET") {
        let (who, path) = (case.writer(), scene.path(&case));
        let minimal = accept(&scene.world, who, &path, &media("minimal")).await;
        let is_json = minimal.headers.get("content-type").is_some_and(|of| of.to_str().unwrap().contains("odata."));
        // Each URL that opens a desktop is a new one.
        let is_unique = case.key.contains("Launch");
        // Reports are streams, which are the same at every level.
        let is_stream = case.key.starts_with("reports.getRealTime");
        if minimal.status != 200 || !is_json || is_unique || is_stream {
            continue;
        }
        let key = case.key;
        assert_eq!(minimal.json(), scene.world.get(who, &path).await.json(), "{key}: minimal is the default");
        let none = accept(&scene.world, who, &path, &media("none")).await;
        let full = accept(&scene.world, who, &path, &media("full")).await;
        for (reply, level) in [(&none, "none"), (&full, "full")] {
            let of = reply.headers["content-type"].to_str().unwrap();
            assert!(of.starts_with(&media(level)), "{key}: {of}");
            assert_eq!(data(&reply.json()), data(&minimal.json()), "{key}: {level}");
        }
        let kept = ["@odata.nextLink", "@odata.count", "@odata.deltaLink"];
        each_member(&none.json(), &mut |name, _| {
            let is_kept = kept.iter().any(|kept| name.ends_with(kept));
            assert!(!name.contains("@odata.") || is_kept, "{key}: {name}");
        });
        let mut links = Vec::new();
        each_member(&full.json(), &mut |name, value| {
            assert!(!name.contains("unselected"), "{key}: {name}");
            if name == "@odata.id" || name == "@odata.editLink" || name.ends_with("@odata.navigationLink") {
                links.push((name.to_owned(), value.as_str().unwrap().to_owned()));
            }
        });
        // The first few suffice: the others are alike.
        for (name, link) in links.into_iter().take(8) {
            let reply = scene.world.get(who, &link).await;
            // A single related entity may not be there, and what is related may need more rights.
            let may_miss = name.ends_with("navigationLink") && matches!(reply.status.as_u16(), 403 | 404);
            assert!(reply.status == 200 || may_miss, "{key}: {name} {link}: {} {}", reply.status, reply.body);
        }
    }
}

/// Every entity and complex value of every read names its type, and each entity that is served at a
/// path has its address.
#[tokio::test]
async fn full_metadata_names_every_type() {
    let scene = Scene::new().await;
    for case in cases().into_iter().filter(|case| case.method == "GET") {
        let reply = accept(&scene.world, case.writer(), &scene.path(&case), &media("full")).await;
        let is_full =
            reply.headers.get("content-type").is_some_and(|of| of.to_str().unwrap().contains("odata.metadata=full"));
        if reply.status != 200 || !is_full {
            continue;
        }
        let body = reply.json();
        let objects = match body.get("value") {
            Some(Value::Array(rows)) => rows.iter().filter(|row| row.is_object()).cloned().collect(),
            Some(_) => Vec::new(),
            None => vec![body.clone()],
        };
        for object in objects.iter().filter(|object| object.get("@removed").is_none()) {
            assert_types(case.key, object);
        }
    }
}

fn assert_types(key: &str, object: &Value) {
    let edm = Edm::of(Version::Beta);
    let name = object["@odata.type"].as_str().unwrap_or_else(|| panic!("{key}: no type: {object}"));
    let declared = edm.type_named(name.rsplit_once('.').unwrap().1).unwrap();
    assert_eq!(name, format!("#{}", edm.qualified(&declared.name)));
    if declared.kind == TypeKind::Complex {
        assert!(object.get("@odata.id").is_none(), "{key}: {object}");
    }
    for property in &declared.properties {
        let annotation = object.get(format!("{}@odata.type", property.name));
        match &object[&property.name] {
            Value::Null => assert!(annotation.is_none(), "{key}: {}", property.name),
            Value::Array(elements) if property.type_ref.navigation => {
                elements.iter().for_each(|element| assert_types(key, element));
            }
            Value::Array(elements) => {
                assert!(annotation.unwrap().as_str().unwrap().starts_with("#Collection("), "{key}: {}", property.name);
                elements.iter().filter(|element| element.is_object()).for_each(|element| assert_types(key, element));
            }
            inner @ Value::Object(_) => assert_types(key, inner),
            Value::String(_) if property.type_ref.name == "Edm.String" => assert!(annotation.is_none()),
            Value::Bool(_) => assert!(annotation.is_none(), "{key}: {}", property.name),
            Value::Number(_) if property.type_ref.name == "Edm.Double" => assert!(annotation.is_none()),
            Value::String(_) | Value::Number(_) => {
                let of = property.type_ref.name.trim_start_matches("Edm.");
                assert!(
                    annotation.unwrap().as_str().unwrap().ends_with(of),
                    "{key}: {}: {annotation:?}",
                    property.name
                );
            }
        }
    }
}

#[tokio::test]
async fn full_metadata_of_an_entity_has_types_addresses_and_links() {
    let world = TestServer::new().await;
    let desk = format!("{ROOT}/cloudPCs/{DESK_1}");
    let reply = accept(&world, Who::Writer, &format!("{desk}?$select=displayName,status"), &media("full")).await;
    let address = format!("{BASE}{ROOT}/cloudPCs('{DESK_1}')");
    assert_eq!(
        reply.json(),
        json!({
            "@odata.context": format!("{BASE}/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs(displayName,status)/$entity"),
            "@odata.type": "#microsoft.graph.cloudPC",
            "@odata.id": address,
            "displayName": reply.json()["displayName"],
            "status@odata.type": "#microsoft.graph.cloudPcStatus",
            "status": "provisioned",
        })
    );
    // An annotation precedes what it is about.
    assert!(reply.body.find("status@odata.type").unwrap() < reply.body.find("\"status\"").unwrap());
    let partner = accept(&world, Who::Writer, &format!("{ROOT}/externalPartners/{PARTNER}"), &media("full")).await;
    let address = format!("{BASE}{ROOT}/externalPartners('{PARTNER}')");
    assert_eq!(partner.json()["@odata.editLink"], address, "it can be changed");
    assert_eq!(partner.json()["createdDateTime@odata.type"], Value::Null);
    let policy = json!({
        "displayName": "Desks", "imageId": "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc",
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
    });
    let policies = format!("{ROOT}/provisioningPolicies");
    let policy = world.call(Who::Writer, "POST", &policies, Some(policy)).await.json();
    let listed = accept(&world, Who::Writer, &format!("{policies}?$select=displayName"), &media("full")).await;
    let row = &listed.rows()[0];
    let address = format!("{BASE}{policies}('{}')", policy["id"].as_str().unwrap());
    assert_eq!(row["@odata.id"], address, "{row}");
    assert_eq!(row["assignments@odata.navigationLink"], format!("{address}/assignments"));
    assert_eq!(row.get("id"), None);
}

#[tokio::test]
async fn media_types_are_negotiated() {
    let world = TestServer::new().await;
    let list = format!("{ROOT}/cloudPCs?$top=1");
    for (given, level) in [
        ("*/*", "minimal"),
        ("text/html", "minimal"),
        ("application/json", "minimal"),
        ("Application/JSON; OData.Metadata=FULL", "full"),
        ("application/json;metadata=none", "none"),
        ("application/json;odata.metadata=none;q=0.5, application/json;odata.metadata=full", "full"),
        ("application/json;odata.metadata=some, */*;q=0.1", "minimal"),
        ("text/plain;odata.metadata=some", "minimal"),
        ("application/json;odata.metadata=full;q=0, application/json;q=0.2", "minimal"),
    ] {
        let reply = accept(&world, Who::Reader, &list, given).await;
        assert!(reply.headers["content-type"].to_str().unwrap().starts_with(&media(level)), "{given}: {reply}");
    }
    let refused = accept(&world, Who::Reader, &list, &media("some")).await;
    assert_eq!(refused.error(), (406, "NotAcceptable".to_owned()));
    let format = |value: &str| format!("{list}&$format=application/json;odata.metadata={value}");
    let reply = accept(&world, Who::Reader, &format("none"), &media("full")).await;
    assert!(reply.headers["content-type"].to_str().unwrap().starts_with(&media("none")), "$format comes first");
    assert_eq!(accept(&world, Who::Reader, &format("some"), "*/*").await.status, 406);
    // Who may not list learns nothing else.
    assert_eq!(accept(&world, Who::Nobody, &list, &media("some")).await.status, 403);
}

#[tokio::test]
async fn requests_of_a_batch_have_their_own_level() {
    let world = TestServer::new().await;
    let item = |id: &str, level: &str| {
        let url = format!("/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}");
        json!({"id": id, "method": "GET", "url": url, "headers": {"Accept": media(level)}})
    };
    let body = json!({"requests": [item("n", "none"), item("m", "minimal"), item("f", "full"), item("x", "extra")]});
    let reply = world.call(Who::Reader, "POST", "/beta/$batch", Some(body)).await.json();
    let has = |place: usize, name: &str| reply["responses"][place]["body"].get(name).is_some();
    assert_eq!([has(0, "@odata.context"), has(1, "@odata.context"), has(2, "@odata.context")], [false, true, true]);
    assert_eq!([has(0, "@odata.id"), has(1, "@odata.id"), has(2, "@odata.id")], [false, false, true]);
    assert_eq!(reply["responses"][3]["status"], 406);
}

/// What a client reads with full metadata, it can write back.
#[tokio::test]
async fn an_entity_with_full_metadata_can_be_written_back() {
    let world = TestServer::new().await;
    let setting = json!({"displayName": "Restore", "restorePointSetting": {"frequencyType": "sixHours"}});
    let settings = format!("{ROOT}/userSettings");
    let made = world.call(Who::Writer, "POST", &settings, Some(setting)).await.json();
    let path = format!("{settings}/{}", made["id"].as_str().unwrap());
    let mut read = accept(&world, Who::Writer, &path, &media("full")).await.json();
    assert_eq!(read["restorePointSetting"]["@odata.type"], "#microsoft.graph.cloudPcRestorePointSetting");
    read["displayName"] = json!("Restore often");
    let written = world.call(Who::Writer, "PATCH", &path, Some(read)).await;
    assert_eq!((written.status.as_u16(), &written.json()["displayName"]), (200, &json!("Restore often")), "{written}");
}
