//! The metadata and the service document, which require no token.

use axum::body::Body;
use cloudpc_graph::{Edm, Endpoint, Version, metadata};
use http::Response;
use serde_json::json;
use std::sync::OnceLock;

use super::CONTENT_TYPE_JSON;
use super::answer::with_body;

/// Returns the response for `/$metadata` and for the root itself; `None` for `$batch`.
pub(super) fn public(edm: &'static Edm, root: &str, endpoint: Endpoint) -> Option<Response<Body>> {
    match endpoint {
        Endpoint::Root => Some(with_body(document(root), CONTENT_TYPE_JSON)),
        Endpoint::Metadata => Some(with_body(metadata_of(edm), "application/xml")),
        Endpoint::Batch => None,
    }
}

fn metadata_of(edm: &'static Edm) -> &'static str {
    static V1: OnceLock<String> = OnceLock::new();
    static BETA: OnceLock<String> = OnceLock::new();
    let text = match edm.version {
        Version::V1 => &V1,
        Version::Beta => &BETA,
    };
    text.get_or_init(|| metadata::render(edm))
}

fn document(root: &str) -> Vec<u8> {
    let document = json!({
        "@odata.context": format!("{root}/$metadata"),
        "value": [
            {"name": "users", "kind": "EntitySet", "url": "users"},
            {"name": "me", "kind": "Singleton", "url": "me"},
            {"name": "deviceManagement", "kind": "Singleton", "url": "deviceManagement"},
        ],
    });
    super::call::to_json(&document)
}
