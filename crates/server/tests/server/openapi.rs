//! The OpenAPI description is complete and true: [`check`] compares every response of all tests
//! with it.

use axum::body::Body;
use cloudpc_graph::{Edm, Method, Version};
use cloudpc_server::edge::{Edge, Health, Scheme};
use cloudpc_server::{openapi, operations};
use http::Request;
use http_body_util::BodyExt as _;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use crate::world::{HOST, Reply, TestServer, arrival};

const VERSIONS: [Version; 2] = [Version::V1, Version::Beta];

/// The validators of responses, by version and schema.
type Validators = HashMap<(Version, String), Arc<Validator>>;

fn document(version: Version) -> &'static Value {
    static V1: LazyLock<Value> = LazyLock::new(|| read(Version::V1));
    static BETA: LazyLock<Value> = LazyLock::new(|| read(Version::Beta));
    match version {
        Version::V1 => &V1,
        Version::Beta => &BETA,
    }
}

fn read(version: Version) -> Value {
    serde_json::from_str(openapi::text(Edm::of(version))).unwrap()
}

/// Panics if a response to a request for a served operation has another status or body than the
/// description says.
pub fn check(method: &str, path: &str, query: &str, reply: &Reply) {
    let Some(version) = VERSIONS.into_iter().find(|version| path[1..].starts_with(version.segment())) else { return };
    let Some(method) = Method::named(method) else { return };
    let Ok(target) = Edm::of(version).resolve(method, &path[1 + version.segment().len()..], query) else { return };
    let operation = target.operation;
    // Below a user, some operations are not served.
    if operations::row(&operation.key).is_none() || reply.status == 405 {
        return;
    }
    let place = format!("{version:?} {} {}", operation.key, reply.status);
    let described = &document(version)["paths"][&operation.path][operation.method.name().to_ascii_lowercase()];
    let response = &described["responses"][reply.status.as_str()];
    assert!(response.is_object(), "{place} is not described");
    let response = response["$ref"].as_str().map_or(response, |at| component(version, at));
    let schema = response["content"].get("application/json").map(|content| &content["schema"]);
    let media_type = reply.headers.get("content-type").map(|value| value.to_str().unwrap());
    let is_json = media_type.is_some_and(|value| value.starts_with("application/json"));
    assert_eq!(schema.is_some(), is_json, "{place}: {media_type:?}");
    if let Some(schema) = schema {
        let body = reply.json();
        let problems: Vec<_> = validator(version, schema)
            .iter_errors(&body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(problems.is_empty(), "{place}: {problems:#?}\n{body:#}");
    }
}

/// Returns the validator of a schema in a description.
fn validator(version: Version, schema: &Value) -> Arc<Validator> {
    static VALIDATORS: LazyLock<Mutex<Validators>> = LazyLock::new(Mutex::default);
    let key = (version, schema.to_string());
    if let Some(known) = VALIDATORS.lock().unwrap().get(&key) {
        return Arc::clone(known);
    }
    // A validator keeps its whole schema, so it gets only what it refers to.
    let mut components = json!({});
    let mut left = references(schema);
    while let Some(at) = left.pop() {
        let name = at.rsplit('/').next().unwrap();
        if components["schemas"][name].is_null() {
            let referenced = component(version, &at);
            components["schemas"][name] = referenced.clone();
            left.extend(references(referenced));
        }
    }
    let schema = json!({ "allOf": [schema], "components": components });
    let validator = Arc::new(jsonschema::options().should_validate_formats(true).build(&schema).unwrap());
    VALIDATORS.lock().unwrap().entry(key).or_insert(validator).clone()
}

/// Returns the part of a description that a reference names.
fn component(version: Version, at: &str) -> &'static Value {
    document(version).pointer(&at[1..]).unwrap_or_else(|| panic!("{at} is missing"))
}

fn references(value: &Value) -> Vec<String> {
    let mut references = Vec::new();
    each_object(value, &mut |members| {
        references.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
    });
    references
}

/// Calls `visit` with every object of a document.
fn each_object(value: &Value, visit: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(members);
            members.values().for_each(|member| each_object(member, visit));
        }
        Value::Array(elements) => elements.iter().for_each(|element| each_object(element, visit)),
        _ => {}
    }
}

#[test]
fn description_has_every_served_operation_and_no_other() {
    for version in VERSIONS {
        let edm = Edm::of(version);
        let mut described = BTreeSet::new();
        for (path, item) in document(version)["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let method = Method::named(&method.to_ascii_uppercase()).unwrap();
                let key = "10000000-0000-4000-8000-000000000001";
                let filled: String = path
                    .split_inclusive(['{', '}'])
                    .map(|part| if part.ends_with('}') { key } else { part.trim_end_matches('{') })
                    .collect();
                let target = edm.resolve(method, &filled.replace(&format!("={key},"), "=true,"), "").unwrap();
                assert!(operations::row(&target.operation.key).is_some(), "{path}");
                described.insert(target.operation.key.as_str());
            }
        }
        let served = edm.operations.iter().map(|operation| operation.key.as_str());
        let served: BTreeSet<_> = served.filter(|key| operations::row(key).is_some()).collect();
        assert_eq!(described, served);
    }
}

#[test]
fn references_and_operation_ids_are_sound() {
    for version in VERSIONS {
        let document = document(version);
        let (mut referenced, mut ids, mut schemes) = (BTreeSet::new(), BTreeMap::<_, usize>::new(), BTreeSet::new());
        each_object(document, &mut |members| {
            if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(&target[1..]).is_some(), "{target}");
                referenced.insert(target.to_owned());
            }
            if let Some(id) = members.get("operationId") {
                *ids.entry(id.as_str().unwrap().to_owned()).or_default() += 1;
            }
            if let Some(security) = members.get("security") {
                assert!(!security.as_array().unwrap().is_empty());
                schemes.extend(
                    security.as_array().unwrap().iter().flat_map(|one| one.as_object().unwrap().keys().cloned()),
                );
            }
        });
        assert_eq!(ids.iter().filter(|(_, count)| **count > 1).collect::<Vec<_>>(), []);
        assert_eq!(schemes, ["application", "delegated"].map(str::to_owned).into());
        for part in ["schemas", "responses", "parameters"] {
            for name in document["components"][part].as_object().unwrap().keys() {
                assert!(referenced.contains(&format!("#/components/{part}/{name}")), "{part} {name} is not used");
            }
        }
    }
}

#[tokio::test]
async fn anyone_can_download_the_descriptions() {
    let world = TestServer::new().await;
    let edge = Edge::new(world.app.clone(), Arc::new(Health::default()));
    for (file, status) in [("v1.0.json", 200), ("beta.json", 200), ("v2.json", 404)] {
        let request = Request::builder().uri(format!("/_cloudpc/openapi/{file}")).header("host", HOST);
        let response = edge.answer(request.body(Body::empty()).unwrap(), &arrival(Scheme::Https)).await;
        assert_eq!(response.status(), status, "{file}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let version = VERSIONS.into_iter().find(|version| file.starts_with(version.segment()));
        if let Some(version) = version {
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), *document(version));
        }
    }
}

/// One operation and its types, to be read.
#[test]
fn description_of_an_operation() {
    let document = document(Version::V1);
    let path = "/deviceManagement/virtualEndpoint/userSettings";
    insta::assert_json_snapshot!("openapi_operation", document["paths"][path]);
    let schema = "microsoft.graph.cloudPcUserSetting";
    insta::assert_json_snapshot!("openapi_schema", document["components"]["schemas"][schema]);
}
