//! The metadata and the service document, which require no token.

use axum::body::Body;
use cloudpc_graph::{Edm, Endpoint, GraphError, MetadataLevel, Version, metadata};
use http::Response;
use serde_json::{Value, json};
use std::sync::OnceLock;

use super::answer::with_body;
use super::content_type;

/// Returns the response for `/$metadata` and for the root itself; `None` for `$batch`.
///
/// # Errors
/// 406 if there is no such level of control information in the service document.
pub(super) fn public(
    edm: &'static Edm,
    root: &str,
    endpoint: Endpoint,
    level: &Result<MetadataLevel, GraphError>,
) -> Result<Option<Response<Body>>, GraphError> {
    Ok(match endpoint {
        Endpoint::Root => {
            let level = level.clone()?;
            Some(with_body(document(edm, root, level), content_type(level)))
        }
        Endpoint::Metadata => Some(with_body(metadata_of(edm), "application/xml")),
        Endpoint::Batch => None,
    })
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

/// Returns the collections and the single entities at the root, as `$metadata` declares them.
fn document(edm: &'static Edm, root: &str, level: MetadataLevel) -> Vec<u8> {
    let resource = |(name, kind): (&str, &str)| json!({"name": name, "kind": kind, "url": name});
    let sets = metadata::entity_sets(edm).into_keys().map(|name| (name, "EntitySet"));
    let singletons = metadata::singletons(edm).into_iter().map(|name| (name, "Singleton"));
    let value: Vec<Value> = sets.chain(singletons).map(resource).collect();
    let context = format!("{root}/$metadata");
    super::call::to_json(&match level {
        MetadataLevel::None => json!({"value": value}),
        MetadataLevel::Minimal | MetadataLevel::Full => json!({"@odata.context": context, "value": value}),
    })
}
