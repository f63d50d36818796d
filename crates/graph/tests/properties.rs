//! The properties of the fuzz targets, on random texts in the shape of what callers send.

#[path = "../../../fuzz/src/lib.rs"]
mod properties;

use cloudpc_graph::edm::BodyShape;
use cloudpc_graph::{Edm, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

/// Parts of paths that the tree of paths knows, keys and arguments of several kinds.
const PARTS: [&str; 28] = [
    "/deviceManagement",
    "/virtualEndpoint",
    "/cloudPCs",
    "/me",
    "/users",
    "/groups",
    "/provisioningPolicies",
    "/assignments",
    "/assignedUsers",
    "/x",
    "/10000000-0000-4000-8000-0000000000d1",
    "('x')",
    "('o''neill')",
    "(x)",
    "(",
    ")",
    "'",
    "=",
    ",",
    "()",
    "userPrincipalName='a'",
    "/$count",
    "/$ref",
    "/microsoft.graph.cloudPC",
    "%2F",
    "%27",
    "%F0%9F%92%BB",
    "//",
];

const WORDS: [&str; 32] = [
    "displayName",
    "status",
    "scopeIds",
    "lastModifiedDateTime",
    "statusDetail/code",
    "assignments",
    "id",
    "*",
    "eq",
    "ne",
    "gt",
    "in",
    "has",
    "and",
    "or",
    "not",
    "asc",
    "desc",
    "(",
    ")",
    ",",
    "/",
    ";",
    "$select=",
    ":",
    "\"",
    "'x'",
    "null",
    "true",
    "2025-01-31",
    "contains",
    "tolower",
];

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        vec(select(&WORDS[..]), 0..20).prop_map(|words| words.join(" ")),
        vec(select(&WORDS[..]), 0..20).prop_map(|words| words.concat()),
        any::<String>(),
    ]
}

/// Names of all properties and parameters.
fn names() -> Vec<String> {
    let edm = Edm::of(Version::Beta);
    let properties = edm.types.values().flat_map(|declared| &declared.properties).map(|own| own.name.clone());
    let parameters = edm.operations.iter().filter_map(|operation| match &operation.body {
        BodyShape::Parameters(parameters) => Some(parameters.keys().cloned()),
        _ => None,
    });
    let annotations = ["@odata.type", "@odata.id", "id@odata.bind"].map(str::to_owned);
    properties.chain(parameters.flatten()).chain(annotations).collect()
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        select(
            &[
                "#microsoft.graph.cloudPcBulkResize",
                "2025-01-31T00:00:00Z",
                "none",
                "10000000-0000-4000-8000-0000000000d1"
            ][..]
        )
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(names()), inner), 0..6).prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

/// Requests of a batch, mostly well-formed.
fn items() -> impl Strategy<Value = Value> {
    let id = || select(&["1", "2", "a", "A", ""][..]);
    let item = (id(), vec(id(), 0..3), value()).prop_map(|(id, depends_on, body)| {
        serde_json::json!({"id": id, "method": "GET", "url": "/me/cloudPCs", "dependsOn": depends_on, "body": body})
    });
    vec(prop_oneof![6 => item, 1 => value()], 0..6).prop_map(|requests| serde_json::json!({ "requests": requests }))
}

proptest! {
    #[test]
    fn any_path_is_resolved_or_refused(parts in vec(select(&PARTS[..]), 0..10), query in "[a-zA-Z@=&%'$ +]{0,30}", text in any::<String>()) {
        properties::path(&format!("{}?{query}", parts.concat()));
        properties::path(&text);
    }

    #[test]
    fn any_option_is_taken_or_refused(text in words()) {
        properties::filter(&text);
        properties::search(&text);
        properties::orderby(&text);
        properties::select_and_expand(&text);
    }

    #[test]
    fn any_body_is_taken_or_refused(operation in any::<Index>(), value in value(), bytes in vec(any::<u8>(), 0..200)) {
        let operation = u16::try_from(operation.index(1 << 16)).unwrap_or_default().to_be_bytes();
        properties::body(&[&operation, value.to_string().as_bytes()].concat());
        properties::body(&bytes);
    }

    #[test]
    fn any_batch_is_taken_or_refused(items in items(), bytes in vec(any::<u8>(), 0..200)) {
        properties::batch(items.to_string().as_bytes());
        properties::batch(&bytes);
    }
}
