//! `$expand` of related entities: what the path of a navigation property answers, sent within each
//! entity.
//!
//! Each expanded property is read by a request of its own through this pipeline, as the requests of
//! a `$batch` are. So everything that has a path can be expanded, with the options and by the
//! permissions of that path. What documents contain, they expand themselves, in one read
//! ([`crate::documents`]).

use axum::body::Body;
use cloudpc_graph::control::{UNSELECTED_KEY, path_in_url};
use cloudpc_graph::options::Expansion;
use cloudpc_graph::{GraphError, MetadataLevel, OperationKind};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Collected};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Answer, Call, respond};
use crate::app::App;
use crate::request::RequestIds;

/// Most reads of related entities for one response. A list with expanded properties has shorter
/// pages, so that one level stays below.
pub const RELATED_READS_MAX: usize = 200;

/// Marks a request that reads what another one expands: how many reads are left for that one.
#[derive(Clone, Debug)]
pub(super) struct RelatedReads(Arc<AtomicUsize>);

impl RelatedReads {
    fn of(head: &Parts) -> Self {
        let inherited = head.extensions.get::<Self>().cloned();
        inherited.unwrap_or_else(|| Self(Arc::new(AtomicUsize::new(RELATED_READS_MAX))))
    }

    /// Takes one read.
    fn take(&self) -> Result<(), GraphError> {
        let less = |left: usize| left.checked_sub(1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(_) => Ok(()),
            Err(_) => {
                let message = format!(
                    "The query option '$expand' needs more than {RELATED_READS_MAX} reads here. Ask for a smaller page with $top."
                );
                Err(GraphError::bad_request(message).about("$expand"))
            }
        }
    }
}

/// Adds to an answer what the request expands, except what the operation has expanded itself.
pub(super) async fn complete(app: &App, head: &Parts, call: &Call, answer: Answer) -> Result<Answer, GraphError> {
    if !call.expands_further() {
        return Ok(answer);
    }
    match answer {
        Answer::Tagged(answer, etag) => {
            let completed = Box::pin(complete(app, head, call, *answer)).await?;
            Ok(completed.tagged(etag))
        }
        Answer::Json(body) => {
            let mut body: Value = serde_json::from_slice(&body).expect("an answer is JSON");
            let expansions = call.expansions();
            let reads = RelatedReads::of(head);
            let expander = Expander { app, head, call, reads };
            let path = call.target.canonical_path.as_str();
            match (call.target.operation.kind, body.get_mut("value")) {
                (OperationKind::List, Some(Value::Array(rows))) => expander.members(rows, path, &expansions).await?,
                _ => expander.entity(body.as_object_mut(), path.to_owned(), &expansions).await?,
            }
            Ok(Answer::Json(super::call::to_json(&body)))
        }
        other => Ok(other),
    }
}

struct Expander<'a> {
    app: &'a App,
    head: &'a Parts,
    call: &'a Call,
    reads: RelatedReads,
}

impl Expander<'_> {
    /// Completes the entities of a collection at a path.
    async fn members(&self, rows: &mut [Value], path: &str, expansions: &[Expansion]) -> Result<(), GraphError> {
        for row in rows.iter_mut().filter_map(Value::as_object_mut) {
            // The key that `$select` leaves out is kept only where it makes an address.
            let unselected = row.get(UNSELECTED_KEY).or_else(|| row.get("id"));
            let Some(key) = unselected.and_then(Value::as_str) else { continue };
            let address = format!("{path}('{}')", key.replace('\'', "''"));
            self.entity(Some(row), address, expansions).await?;
        }
        Ok(())
    }

    /// Completes an entity at a path. The future is boxed because entities are within entities.
    fn entity<'a>(
        &'a self,
        entity: Option<&'a mut Map<String, Value>>,
        path: String,
        expansions: &'a [Expansion],
    ) -> BoxFuture<'a, Result<(), GraphError>> {
        async move {
            let Some(entity) = entity else { return Ok(()) };
            for expansion in expansions {
                let (name, nested) = (&expansion.property, &expansion.options.expand);
                let within = format!("{path}/{name}");
                match entity.get_mut(name) {
                    Some(Value::Array(rows)) => self.members(rows, &within, nested).await?,
                    Some(expanded) => self.entity(expanded.as_object_mut(), within, nested).await?,
                    None => self.read(entity, &within, expansion).await?,
                }
            }
            if self.call.metadata != MetadataLevel::Full {
                entity.remove(UNSELECTED_KEY);
            }
            Ok(())
        }
        .boxed()
    }

    /// Reads what is at the path of a navigation property and adds it to the entity.
    async fn read(&self, entity: &mut Map<String, Value>, path: &str, expansion: &Expansion) -> Result<(), GraphError> {
        self.reads.take()?;
        let request = self.request(path, &expansion.query)?;
        let ids = self.head.extensions.get::<RequestIds>().expect("the edge gives every request its ids");
        let (head, body) = request.into_parts();
        let response = Box::pin(respond(self.app, &head, body, ids)).await;
        let name = &expansion.property;
        if let Some(error) = response.extensions().get::<GraphError>() {
            // There is no such single entity.
            if error.status == 404 && !expansion.is_collection {
                entity.insert(name.clone(), Value::Null);
                return Ok(());
            }
            let message = format!("Expanding '{name}' failed: {}", error.message);
            return Err(GraphError { message, ..error.clone() });
        }
        let bytes = response.into_body().collect().await.map(Collected::to_bytes).expect("the body is in memory");
        let Ok(Value::Object(mut found)) = serde_json::from_slice(&bytes) else { return Ok(()) };
        if !expansion.is_collection {
            found.remove("@odata.context");
            entity.insert(name.clone(), Value::Object(found));
            return Ok(());
        }
        for annotation in ["@odata.count", "@odata.nextLink"] {
            if let Some(value) = found.remove(annotation) {
                entity.insert(format!("{name}{annotation}"), value);
            }
        }
        entity.insert(name.clone(), found.remove("value").unwrap_or_else(|| Value::Array(Vec::new())));
        Ok(())
    }

    /// Returns the request for a path below the root, by the caller of this request.
    fn request(&self, path: &str, query: &str) -> Result<Request<Body>, GraphError> {
        let uri = format!("/{}/{}?{query}", self.call.version().segment(), path_in_url(path));
        let request = Request::get(uri).body(Body::empty());
        let mut request = request.map_err(|_| GraphError::bad_request(format!("Nothing is at '{path:.64}'.")))?;
        if let Some(token) = self.head.headers.get(AUTHORIZATION) {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        if self.call.prefer.unknown_enum_members {
            let prefer = HeaderValue::from_static("include-unknown-enum-members");
            request.headers_mut().insert("prefer", prefer);
        }
        *request.extensions_mut() = self.head.extensions.clone();
        request.extensions_mut().insert(self.reads.clone());
        Ok(request)
    }
}
