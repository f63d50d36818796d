//! `$batch`: up to 20 requests in one, each handled by the pipeline.
//!
//! Requests run one after another, so that memory holds one response in addition to the batch
//! response. A request runs after the requests it depends on and gets 424 if one of them failed.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use cloudpc_graph::batch::{Batch, Item, ItemId};
use cloudpc_graph::{Edm, GraphError};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

use super::answer::with_body;
use super::{CONTENT_TYPE_JSON, DIAGNOSTIC, body, respond};
use crate::app::App;
use crate::request::{BaseAddress, OnlyReads, RequestIds};

/// Most bytes of all response bodies in one batch response, as encoded there.
pub const BATCH_ANSWER_BYTES_MAX: usize = 4 << 20;

/// Characters that are invalid in URLs but that clients leave unencoded in batches.
const UNENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// Marks a request inside a batch. It cannot be a batch itself, so batches do not nest.
#[derive(Clone, Copy, Debug)]
pub(super) struct InBatch;

#[derive(Serialize)]
struct BatchResponses {
    responses: Vec<BatchResponse>,
}

#[derive(Serialize)]
struct BatchResponse {
    id: String,
    status: u16,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

/// Runs the requests of an authenticated batch and returns their responses.
pub(super) async fn answer(
    app: &App,
    edm: &'static Edm,
    head: &Parts,
    body: Body,
    ids: &RequestIds,
) -> Result<Response<Body>, GraphError> {
    if head.extensions.get::<InBatch>().is_some() {
        let message =
            "A batch cannot contain a batch. Send all requests in one batch, or send the batches one after another.";
        return Err(GraphError::bad_request(message));
    }
    if head.method != Method::POST {
        let mut error = GraphError::new(405, "Request_BadRequest", "$batch requires the method POST.");
        error.allow = vec![cloudpc_graph::Method::Post];
        return Err(error);
    }
    let bytes = body::read(&head.headers, body).await?;
    let batch = Batch::parse(&bytes)?;
    if let Some(only_reads) = head.extensions.get::<OnlyReads>() {
        only_reads.set(batch.requests.iter().all(|item| method(item).is_ok_and(|method| method == Method::GET)));
    }
    let mut answers: Vec<Option<BatchResponse>> = batch.requests.iter().map(|_| None).collect();
    let mut room = BATCH_ANSWER_BYTES_MAX;
    while let Some(place) = ready(&batch.requests, &answers) {
        let item = &batch.requests[place];
        let failed = item.depends_on.iter().any(|id| !succeeded(&batch.requests, &answers, id));
        let response = match failed {
            true => super::refuse(app, ids, &failed_dependency(item)),
            false => run(app, edm, head, item, ids).await,
        };
        answers[place] = Some(match wrap(&item.id, response, &mut room).await {
            Ok(answered) => answered,
            Err(too_large) => {
                // The error is small and does not count against the limit.
                let refusal = super::refuse(app, ids, &too_large);
                let mut own_room = BATCH_ANSWER_BYTES_MAX;
                wrap(&item.id, refusal, &mut own_room).await?
            }
        });
        // A batch of 20 cached responses would not yield by itself.
        tokio::task::yield_now().await;
    }
    let responses = answers.into_iter().flatten().collect();
    Ok(with_body(super::call::to_json(&BatchResponses { responses }), CONTENT_TYPE_JSON))
}

/// Returns the index of the first unanswered request whose dependencies are all answered.
fn ready(requests: &[Item], answers: &[Option<BatchResponse>]) -> Option<usize> {
    let answered = |id: &ItemId| requests.iter().zip(answers).any(|(item, answer)| item.id.is(id) && answer.is_some());
    let is_ready = |place: &usize| answers[*place].is_none() && requests[*place].depends_on.iter().all(answered);
    (0..requests.len()).find(is_ready)
}

fn succeeded(requests: &[Item], answers: &[Option<BatchResponse>], id: &ItemId) -> bool {
    let answer = requests.iter().zip(answers).find(|(item, _)| item.id.is(id)).and_then(|(_, answer)| answer.as_ref());
    answer.is_some_and(|answer| answer.status < 400)
}

fn failed_dependency(item: &Item) -> GraphError {
    let message = format!("A request that '{}' depends on failed.", item.id.0);
    GraphError::new(424, "FailedDependency", message)
}

async fn run(app: &App, edm: &'static Edm, head: &Parts, item: &Item, ids: &RequestIds) -> Response<Body> {
    match request(edm, head, item) {
        Ok(request) => {
            let (head, body) = request.into_parts();
            // `InBatch` ends the recursion: a request of a batch is never a batch.
            Box::pin(respond(app, &head, body, ids)).await
        }
        Err(error) => super::refuse(app, ids, &error),
    }
}

/// Returns the method of an item. Methods are not case-sensitive here.
fn method(item: &Item) -> Result<Method, http::method::InvalidMethod> {
    Method::from_bytes(item.method.to_ascii_uppercase().as_bytes())
}

/// Builds the request of an item: below the same root, with the token of the batch.
fn request(edm: &Edm, head: &Parts, item: &Item) -> Result<Request<Body>, GraphError> {
    let wrong = |what: &str, text: &str| GraphError::bad_request(format!("Invalid {what} '{text}' in the batch."));
    let url = below_root(edm, head, &item.url).trim_start_matches('/');
    if url.contains('#') {
        let message = format!("The URL '{}' has a fragment. Encode '#' as '%23'.", item.url);
        return Err(GraphError::bad_request(message));
    }
    let uri = format!("/{}/{}", edm.version.segment(), utf8_percent_encode(url, UNENCODED));
    let method = method(item).map_err(|_| wrong("method", &item.method))?;
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in &item.headers {
        let known = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(name), Ok(value)) = known else { return Err(wrong("header", name)) };
        request = request.header(name, value);
    }
    let body = match &item.body {
        None => Vec::new(),
        Some(Value::String(text)) => {
            URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| wrong("body of request", &item.id.0))?
        }
        Some(value) => super::call::to_json(value),
    };
    let mut request = request.body(Body::from(body)).map_err(|_| wrong("URL", &item.url))?;
    if let Some(token) = head.headers.get(AUTHORIZATION) {
        request.headers_mut().insert(AUTHORIZATION, token.clone());
    }
    *request.extensions_mut() = head.extensions.clone();
    request.extensions_mut().insert(InBatch);
    Ok(request)
}

/// Returns a URL relative to the root of the batch. Microsoft's SDK for Python sends absolute URLs.
fn below_root<'a>(edm: &Edm, head: &Parts, url: &'a str) -> &'a str {
    let base = head.extensions.get::<BaseAddress>().expect("the edge gives every request its base address");
    let root = format!("{}/{}/", base.0, edm.version.segment());
    match url.split_at_checked(root.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(&root) => rest,
        _ => url,
    }
}

/// Encodes the response to an item and subtracts the size of its body from `room`. Returns 507 if
/// the body does not fit.
async fn wrap(id: &ItemId, response: Response<Body>, room: &mut usize) -> Result<BatchResponse, GraphError> {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.map(Collected::to_bytes).expect("bodies of this pipeline are in memory");
    let media = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Encoding never makes a body smaller, so a body that is too large is not encoded.
    let body = if bytes.len() > *room { return Err(too_large(head.status)) } else { embed(media, &bytes) };
    let size = body.as_ref().map_or(0, |body| body.get().len());
    *room = room.checked_sub(size).ok_or_else(|| too_large(head.status))?;
    let shown = head.headers.iter().filter(|(name, _)| **name != DIAGNOSTIC);
    let headers =
        shown.filter_map(|(name, value)| Some((title_case(name.as_str()), value.to_str().ok()?.to_owned()))).collect();
    Ok(BatchResponse { id: id.0.clone(), status: head.status.as_u16(), headers, body })
}

/// Returns the 507 error. The request has already run, so the message includes its status.
fn too_large(status: StatusCode) -> GraphError {
    let message = format!(
        "The request completed with status {}, but its response is omitted: the responses of a batch have at most \
         {BATCH_ANSWER_BYTES_MAX} bytes. To read it, send a separate request or fewer requests per batch.",
        status.as_u16()
    );
    GraphError::new(507, "batchAnswerTooLarge", message)
}

/// Embeds a body into JSON: JSON unchanged, text as a string, anything else in base64.
fn embed(media: &str, bytes: &Bytes) -> Option<Box<RawValue>> {
    if bytes.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok();
    match text {
        Some(text) if media.starts_with("application/json") => RawValue::from_string(text.to_owned()).ok(),
        Some(text) if media.starts_with("text/plain") => to_raw_value(text).ok(),
        _ => to_raw_value(&STANDARD.encode(bytes)).ok(),
    }
}

/// Converts `content-type` to `Content-Type`, as Graph writes header names in batches.
fn title_case(name: &str) -> String {
    let capital = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    name.split('-').filter(|part| !part.is_empty()).map(capital).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn response_over_the_limit_is_omitted_and_does_not_count() {
        let id = ItemId("a".into());
        let mut room = BATCH_ANSWER_BYTES_MAX;
        let mut answer = async |bytes: usize, media| {
            let before = room;
            let response = with_body("1".repeat(bytes), media);
            (wrap(&id, response, &mut room).await.map_err(|error| (error.status, error.code)), before - room)
        };
        let refused = Err((507, "batchAnswerTooLarge".to_owned()));
        let half = BATCH_ANSWER_BYTES_MAX / 2;
        for (bytes, media, taken) in [
            (BATCH_ANSWER_BYTES_MAX + 1, CONTENT_TYPE_JSON, None),
            // Base64 is larger than its input.
            (BATCH_ANSWER_BYTES_MAX, "image/png", None),
            (half, CONTENT_TYPE_JSON, Some(half)),
            (half + 1, CONTENT_TYPE_JSON, None),
            (half - 1, "text/plain", None),
            (half, CONTENT_TYPE_JSON, Some(half)),
            (1, CONTENT_TYPE_JSON, None),
            (0, CONTENT_TYPE_JSON, Some(0)),
        ] {
            let (answered, took) = answer(bytes, media).await;
            let status = answered.map(|answered| answered.status);
            assert_eq!(
                (status, took),
                (taken.map_or_else(|| refused.clone(), |_| Ok(200)), taken.unwrap_or(0)),
                "{bytes} {media}"
            );
        }
    }
}
