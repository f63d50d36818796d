//! What holds for any text that a caller can send. The targets of libFuzzer and the property tests
//! on stable run the same functions: each panics if its property does not hold.

use cloudpc_graph::batch::{Batch, REQUESTS_MAX};
use cloudpc_graph::edm::BodyShape;
use cloudpc_graph::{Edm, Endpoint, Filter, Method, Operation, OperationKind, QueryOptions, Version, body};
use serde_json::{Value, json};

const VERSIONS: [Version; 2] = [Version::V1, Version::Beta];

/// A path and query resolve or are refused, and the canonical path of what they resolve to resolves
/// to the same.
pub fn path(address: &str) {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    _ = Endpoint::at(path);
    for edm in VERSIONS.map(Edm::of) {
        // Nearly every path ends at its first segment; this root leads further.
        for root in ["", "/deviceManagement/virtualEndpoint/externalPartners/p/retrieveDeployAgentActionResults"] {
            let Ok(target) = edm.resolve(Method::Get, &format!("{root}{path}"), query) else { continue };
            _ = target.check_arguments();
            _ = QueryOptions::parse(edm, target.operation, &[], query);
            _ = target.context(edm, "https://h/beta", None);
            // The canonical path has no arguments.
            if !target.operation.parameters.is_empty() {
                continue;
            }
            let again = edm.resolve(Method::Get, &format!("/{}", target.canonical_path), "");
            let again = again.expect("a canonical path resolves");
            assert_eq!((&again.scope, &again.canonical_path), (&target.scope, &target.canonical_path), "{address}");
            assert_eq!((&again.operation.key, &again.keys), (&target.operation.key, &target.keys), "{address}");
        }
    }
}

/// A filter is refused, or can be evaluated on anything.
pub fn filter(text: &str) {
    let edm = Edm::of(Version::Beta);
    let desk = json!({"id": "x", "status": "provisioned", "scopeIds": ["0"], "managedDeviceName": null});
    for object in [&desk, &json!({}), &Value::Null] {
        if let Ok(filter) = Filter::parse(edm, "cloudPC", text) {
            filter.matches(object);
        }
    }
}

/// A term of `$search` is refused, or becomes a filter on a property of the type.
pub fn search(text: &str) {
    let Some(options) = options("cloudPC.list", &["search"], text) else { return };
    let filter = options.filter_text.expect("a search is a filter");
    assert!(filter.starts_with("contains(tolower("), "{filter}");
    assert!(options.filter.is_some());
}

/// A value of `$orderby` is refused, or names properties of the type, each once.
pub fn orderby(text: &str) {
    let Some(options) = options("cloudPC.list", &["orderby"], text) else { return };
    let edm = Edm::of(Version::Beta);
    assert!(!options.orderby.is_empty());
    for (place, (path, _)) in options.orderby.iter().enumerate() {
        let (spelled, _) = edm.property_path("cloudPC", path).expect("it names a property");
        assert_eq!(*path, spelled);
        assert!(options.orderby[..place].iter().all(|(earlier, _)| earlier != path), "{text}");
    }
}

/// A value of `$select` or `$expand` is refused, or names properties of the type, each once.
pub fn select_and_expand(text: &str) {
    let edm = Edm::of(Version::Beta);
    if let Some(QueryOptions { select: Some(names), .. }) = options("cloudPC.list", &["select"], text) {
        for (place, name) in names.iter().enumerate() {
            assert!(name == "*" || edm.property_path("cloudPC", name).is_ok(), "{name}");
            assert!(!names[..place].contains(name), "{text}");
        }
    }
    if let Some(options) = options("cloudPcUserSetting.list", &["expand"], text) {
        assert!(options.expand.len() <= 1, "{text}");
    }
}

/// Parses one text as the value of options of an operation.
fn options(key: &str, names: &[&str], text: &str) -> Option<QueryOptions> {
    let edm = Edm::of(Version::Beta);
    let operation = edm.operations.iter().find(|operation| operation.key == key).expect("the operation exists");
    let value: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let query: Vec<_> = names.iter().map(|name| format!("${name}={value}")).collect();
    QueryOptions::parse(edm, operation, &["assignments"], &query.join("&")).ok()
}

/// A body is refused, or what it becomes is a valid body that stays as it is. The first two bytes
/// choose the operation.
pub fn body(bytes: &[u8]) {
    let Some((&[high, low], text)) = bytes.split_first_chunk() else { return };
    let edm = Edm::of(Version::Beta);
    let takes_one = |operation: &&Operation| operation.body != BodyShape::None;
    let operations: Vec<_> = edm.operations.iter().filter(takes_one).collect();
    let operation = operations[usize::from(u16::from_be_bytes([high, low])) % operations.len()];
    let Ok(checked) = body::parse(edm, operation, text) else { return };
    let written = serde_json::to_vec(&checked).expect("JSON can be written");
    let again = body::parse(edm, operation, &written);
    assert_eq!(again.as_ref(), Ok(&checked), "{}", operation.key);
    assert!(matches!(operation.kind, OperationKind::Create | OperationKind::Update | OperationKind::Action));
}

/// A batch is refused, or has some requests with different ids that can be answered in some order.
pub fn batch(bytes: &[u8]) {
    let Ok(Batch { requests }) = Batch::parse(bytes) else { return };
    assert!((1..=REQUESTS_MAX).contains(&requests.len()));
    let mut answered = Vec::new();
    while answered.len() < requests.len() {
        let is_new = |id: &str| answered.iter().all(|other: &String| !other.eq_ignore_ascii_case(id));
        let is_ready =
            |item: &&cloudpc_graph::batch::Item| is_new(&item.id.0) && item.depends_on.iter().all(|id| !is_new(&id.0));
        let next = requests.iter().find(is_ready).expect("some request is ready");
        answered.push(next.id.0.clone());
    }
}
