//! Results of operations and their HTTP responses.

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use cloudpc_graph::MetadataLevel;

use super::{Prefer, content_type};

/// The result of an operation. JSON bodies are already serialised.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// 204.
    NoContent,
    /// 200 with plain text, for `$count`.
    Text(String),
    /// 200 with a PNG, which caches must not store.
    Picture(Vec<u8>),
    /// 200 with JSON.
    Json(Vec<u8>),
    /// 200 with JSON that never changes for this URL.
    Immutable(Bytes),
    /// 202 without a body, for work that has begun.
    Started,
    /// 202 with the entity that is being changed.
    Accepted(Vec<u8>),
    /// 201 with the new entity and its URL, or 204 if the client prefers no body.
    Created {
        /// The URL of the entity.
        location: String,
        /// The entity as JSON.
        body: Vec<u8>,
    },
    /// 200 with the updated entity, or 204 if the client prefers no body.
    Updated(Vec<u8>),
    /// One of the others, with the entity tag of the entity that it shows.
    Tagged(Box<Answer>, String),
}

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const ODATA_ENTITY_ID: HeaderName = HeaderName::from_static("odata-entityid");

impl Answer {
    /// The same with the entity tag of the entity that it shows.
    pub(crate) fn tagged(self, etag: String) -> Self {
        Self::Tagged(Box::new(self), etag)
    }

    /// The same with its JSON rewritten, unless `rewrite` returns nothing.
    pub(super) fn rewritten(self, rewrite: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Self {
        match self {
            Self::Json(body) => Self::Json(rewrite(&body).unwrap_or(body)),
            Self::Immutable(body) => Self::Immutable(rewrite(&body).map_or(body, Bytes::from)),
            Self::Accepted(body) => Self::Accepted(rewrite(&body).unwrap_or(body)),
            Self::Created { location, body } => Self::Created { location, body: rewrite(&body).unwrap_or(body) },
            Self::Updated(body) => Self::Updated(rewrite(&body).unwrap_or(body)),
            Self::Tagged(answer, etag) => Self::Tagged(Box::new(answer.rewritten(rewrite)), etag),
            Self::NoContent | Self::Text(_) | Self::Picture(_) | Self::Started => self,
        }
    }

    /// Converts the answer into a response, without the headers that all responses share. Its JSON
    /// has this level of control information.
    pub(super) fn into_response(self, prefer: Prefer, metadata: MetadataLevel) -> Response<Body> {
        let json = content_type(metadata);
        let mut applied = Vec::new();
        if prefer.unknown_enum_members {
            applied.push("include-unknown-enum-members".to_owned());
        }
        applied.extend(prefer.page_rows.map(|rows| format!("odata.maxpagesize={rows}")));
        let represented = || prefer.representation.then(|| "return=representation".to_owned());
        let mut response = match self {
            Self::Tagged(answer, etag) => {
                let mut response = answer.into_response(prefer, metadata);
                if let Ok(etag) = HeaderValue::from_str(&etag) {
                    response.headers_mut().insert(ETAG, etag);
                }
                return response;
            }
            Self::NoContent => no_content(),
            Self::Started => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::ACCEPTED;
                response
            }
            Self::Text(text) => with_body(text.into_bytes(), "text/plain"),
            Self::Picture(png) => with_body(png, "image/png"),
            Self::Json(body) => with_body(body, json),
            Self::Immutable(body) => with_body(body, json),
            Self::Accepted(body) => {
                let mut response = with_body(body, json);
                *response.status_mut() = StatusCode::ACCEPTED;
                response
            }
            Self::Updated(_) if prefer.minimal => {
                applied.push("return=minimal".to_owned());
                no_content()
            }
            Self::Updated(body) => {
                applied.extend(represented());
                with_body(body, json)
            }
            Self::Created { location, body } => {
                let mut response = if prefer.minimal {
                    applied.push("return=minimal".to_owned());
                    no_content()
                } else {
                    applied.extend(represented());
                    let mut response = with_body(body, json);
                    *response.status_mut() = StatusCode::CREATED;
                    response
                };
                if let Ok(location) = HeaderValue::from_str(&location) {
                    if prefer.minimal {
                        response.headers_mut().insert(ODATA_ENTITY_ID, location.clone());
                    }
                    response.headers_mut().insert(LOCATION, location);
                }
                response
            }
        };
        if let Ok(applied) = HeaderValue::from_str(&applied.join(", "))
            && !applied.is_empty()
        {
            response.headers_mut().insert(PREFERENCE_APPLIED, applied);
        }
        response
    }
}

fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub(super) fn with_body(body: impl Into<Body>, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_minimal_omits_the_body_of_a_created_entity() {
        let minimal = Prefer { minimal: true, ..Prefer::default() };
        let created = Answer::Created { location: "https://h/beta/x/1".into(), body: b"{}".to_vec() };
        let response = created.into_response(minimal, MetadataLevel::Minimal);
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers()["location"], "https://h/beta/x/1");
        assert_eq!(response.headers()["odata-entityid"], "https://h/beta/x/1");
        assert_eq!(response.headers()["preference-applied"], "return=minimal");
        assert_eq!(Answer::Json(b"{}".to_vec()).into_response(minimal, MetadataLevel::Minimal).status(), 200);
    }
}
