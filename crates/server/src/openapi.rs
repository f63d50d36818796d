//! The OpenAPI description of each version, generated from the model and the table of operations.
//!
//! It describes the operations that are served and nothing else: their parameters, permissions,
//! bodies and answers. What it leaves out is that names and enum members are accepted in any case,
//! the other spellings of paths, and the endpoints of the protocol (`$metadata`, `$batch`).
//!
//! OpenAPI 3.1 rather than 3.0, because its schemas are JSON Schema, which can say that a reference
//! may be null and that only annotations may be added to an object. Its URLs are relative, so that
//! the document is the same for all clients.

mod operation;
mod schema;

use axum::Router;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::get;
use cloudpc_graph::edm::Version;
use cloudpc_graph::{Edm, Operation, Scope};
use http::{StatusCode, header};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::app::App;
use crate::documents;
use crate::identity::permissions::PERMISSIONS;
use crate::operations::{self, Row};
use schema::Schemas;

const OPENAPI: &str = "3.1.0";
const USER: &str = "/users/{user-id}";
const ME: &str = "/me";

const DESCRIPTION: &str = "Microsoft Graph's Cloud PC API as this server serves it, generated from its model and its \
    table of operations. Names and enum members are accepted in any case. A collection is read by following \
    `@odata.nextLink`. `$format=json` is accepted everywhere.";

/// Returns the routes below `/_cloudpc`. They need no token, like `$metadata`.
pub fn routes() -> Router<App> {
    Router::new().route("/openapi/{file}", get(download))
}

async fn download(Path(file): Path<String>) -> impl IntoResponse {
    let version = [Version::V1, Version::Beta].into_iter().find(|version| file == file_name(*version));
    match version {
        Some(version) => {
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], text(Edm::of(version))).into_response()
        }
        None => {
            let files = [Version::V1, Version::Beta].map(file_name).join(" and ");
            (StatusCode::NOT_FOUND, format!("There is no '{file}'. There are {files}.")).into_response()
        }
    }
}

fn file_name(version: Version) -> String {
    format!("{}.json", version.segment())
}

/// Returns the description of a version as JSON.
pub fn text(edm: &'static Edm) -> &'static str {
    static V1: OnceLock<String> = OnceLock::new();
    static BETA: OnceLock<String> = OnceLock::new();
    let text = match edm.version {
        Version::V1 => &V1,
        Version::Beta => &BETA,
    };
    text.get_or_init(|| describe(edm).to_string())
}

/// An operation at one of its paths.
pub struct Served {
    /// Path below the root, with its keys and arguments in braces.
    pub path: String,
    /// The operation.
    pub operation: &'static Operation,
    /// Its row in the table of operations.
    row: &'static Row,
}

impl Served {
    /// Whether the path is below a user.
    fn is_of_user(&self) -> bool {
        [USER, ME].iter().any(|root| self.path.starts_with(root))
    }
}

/// Returns all operations of a version that are served, at each of their paths.
pub fn served(edm: &'static Edm) -> Vec<Served> {
    let mut served = Vec::new();
    for operation in &edm.operations {
        let Some(row) = operations::row(&operation.key) else { continue };
        let below_user = operation.path.strip_prefix(USER);
        if below_user.is_some() && !documents::is_served_below(&Scope::Me, &operation.key) {
            continue;
        }
        served.push(Served { path: operation.path.clone(), operation, row });
        if let Some(rest) = below_user {
            served.push(Served { path: format!("{ME}{rest}"), operation, row });
        }
    }
    served
}

/// Returns the description of a version.
fn describe(edm: &'static Edm) -> Value {
    let served = served(edm);
    let mut schemas = Schemas::new(edm, &served);
    let mut paths = BTreeMap::<String, Map<String, Value>>::new();
    for served in served {
        let described = operation::describe(edm, &served, &mut schemas);
        let method = served.operation.method.name().to_ascii_lowercase();
        paths.entry(served.path).or_default().insert(method, described);
    }
    json!({
        "openapi": OPENAPI,
        "info": {
            "title": format!("cloudpc {}", edm.version.segment()),
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": format!("/{}", edm.version.segment()) }],
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "responses": operation::failures(),
            "parameters": operation::shared_parameters(),
            "securitySchemes": security_schemes(),
        },
    })
}

fn security_schemes() -> Value {
    let scopes: BTreeMap<_, _> = PERMISSIONS.iter().map(|name| (*name, "")).collect();
    json!({
        "application": {
            "type": "oauth2",
            "description": "A token of an application. Put the id of its tenant in place of `tenant` in `tokenUrl`.",
            "flows": { "clientCredentials": { "tokenUrl": "/tenant/oauth2/v2.0/token", "scopes": scopes } },
        },
        "delegated": {
            "type": "oauth2",
            "description": "A token of a signed-in user. The device code flow is available too.",
            "flows": {
                "authorizationCode": {
                    "authorizationUrl": "/organizations/oauth2/v2.0/authorize",
                    "tokenUrl": "/organizations/oauth2/v2.0/token",
                    "scopes": scopes,
                },
            },
        },
    })
}
