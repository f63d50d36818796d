//! `$batch`: up to twenty requests in one, each answered by this same pipeline.
//!
//! Requests are answered one after another, so that only one answer at a time is in memory beside
//! the batch's own; one that names others waits for them and fails with 424 if any of them failed.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use cloudpc_graph::body::{DEPTH_MAX, json};
use cloudpc_graph::{Edm, GraphError};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

use super::answer::with_body;
use super::{CONTENT_TYPE_JSON, DIAGNOSTIC, body, respond};
use crate::app::App;
use crate::request::{BaseAddress, OnlyReads, RequestIds};

/// Most requests of one batch.
pub const REQUESTS_MAX: usize = 20;
/// Most bytes of the bodies in the answer of one batch, as they are written there.
pub const BATCH_ANSWER_BYTES_MAX: usize = 4 << 20;

/// What clients leave unencoded in the addresses of a batch, though no address may hold it.
const UNENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// How deep the JSON of a batch may be: the bodies of its requests are three levels down.
const BATCH_DEPTH_MAX: usize = DEPTH_MAX + 3;

/// Marks a request that came in a batch. Such a request cannot be a batch, so batches do not nest.
#[derive(Clone, Copy, Debug)]
pub(super) struct InBatch;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchEnvelope {
    requests: Vec<Value>,
}

/// A batch as it was read.
struct Batch {
    requests: Vec<Item>,
}

/// The names are as [`members`] gives them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    id: ItemId,
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<Value>,
    /// Microsoft's SDK for Python writes `depends_on`.
    #[serde(default, rename = "dependson", alias = "depends_on")]
    depends_on: Vec<ItemId>,
}

/// A text. PowerShell and scripts send numbers, which are read as their text.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
struct ItemId(String);

impl TryFrom<Value> for ItemId {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err("an id has to be a text or a number".into()),
        }
    }
}

impl ItemId {
    fn is(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

/// Reads a batch. Names come in any case, and null is as good as leaving a member out.
fn read(bytes: &[u8]) -> Result<Batch, GraphError> {
    let wrong = |what: String| GraphError::bad_request(format!("The batch cannot be read: {what}."));
    let envelope: BatchEnvelope = members(json(bytes, BATCH_DEPTH_MAX)?).map_err(wrong)?;
    let item = |(place, value)| members(value).map_err(|why| wrong(format!("request {}: {why}", place + 1)));
    let requests = envelope.requests.into_iter().enumerate().map(item).collect::<Result<_, _>>()?;
    Ok(Batch { requests })
}

/// A value from the members of an object, whose names are put in lower case.
fn members<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    let Value::Object(given) = value else { return Err("expected an object".into()) };
    let given = given.into_iter().filter(|(_, value)| !value.is_null());
    let given = given.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    serde_json::from_value(Value::Object(given)).map_err(|error| error.to_string())
}

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

/// Answers a batch whose sender is known.
pub(super) async fn answer(
    app: &App,
    edm: &'static Edm,
    head: &Parts,
    body: Body,
    ids: &RequestIds,
) -> Result<Response<Body>, GraphError> {
    if head.extensions.get::<InBatch>().is_some() {
        let message =
            "A batch cannot be part of a batch. Send its requests in one batch, or one batch after the other.";
        return Err(GraphError::bad_request(message));
    }
    if head.method != Method::POST {
        let mut error = GraphError::new(405, "Request_BadRequest", "A batch is sent with POST.");
        error.allow = vec![cloudpc_graph::Method::Post];
        return Err(error);
    }
    let bytes = body::read(&head.headers, body).await?;
    let batch = read(&bytes)?;
    check(&batch)?;
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
                // The refusal is small, and has room of its own.
                let refusal = super::refuse(app, ids, &too_large);
                let mut own_room = BATCH_ANSWER_BYTES_MAX;
                wrap(&item.id, refusal, &mut own_room).await?
            }
        });
        // Others get a turn: a batch of twenty answers that are at hand would not wait by itself.
        tokio::task::yield_now().await;
    }
    let responses = answers.into_iter().flatten().collect();
    Ok(with_body(super::call::to_json(&BatchResponses { responses }), CONTENT_TYPE_JSON))
}

/// What is wrong with the batch as a whole.
fn check(batch: &Batch) -> Result<(), GraphError> {
    let wrong = |message: String| Err(GraphError::bad_request(message).about("requests"));
    let requests = &batch.requests;
    if requests.is_empty() || requests.len() > REQUESTS_MAX {
        return wrong(format!("A batch has 1 to {REQUESTS_MAX} requests; this has {}.", requests.len()));
    }
    for (place, item) in requests.iter().enumerate() {
        if item.id.0.is_empty() {
            return wrong("Each request of a batch needs an id.".into());
        }
        if requests[..place].iter().any(|other| other.id.is(&item.id)) {
            return wrong(format!("Two requests of the batch have the id '{}'.", item.id.0));
        }
        let known = |id: &ItemId| requests.iter().any(|other| other.id.is(id));
        if let Some(id) = item.depends_on.iter().find(|id| !known(id)) {
            return wrong(format!("The request '{}' depends on '{}', which is not in the batch.", item.id.0, id.0));
        }
    }
    if has_circle(requests) {
        return wrong("Requests of the batch depend on each other in a circle.".into());
    }
    Ok(())
}

fn has_circle(requests: &[Item]) -> bool {
    let mut left: Vec<&Item> = requests.iter().collect();
    loop {
        let before = left.len();
        let waits =
            |item: &Item, left: &[&Item]| item.depends_on.iter().any(|id| left.iter().any(|other| other.id.is(id)));
        left = left.iter().copied().filter(|item| waits(item, &left)).collect();
        if left.is_empty() || left.len() == before {
            return !left.is_empty();
        }
    }
}

/// Place of the first request that is not answered and depends on nothing unanswered.
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
    let message = format!("A request that '{}' depends on has failed.", item.id.0);
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

/// The method of an item, in any case.
fn method(item: &Item) -> Result<Method, http::method::InvalidMethod> {
    Method::from_bytes(item.method.to_ascii_uppercase().as_bytes())
}

/// The request that an item stands for: below the same root, with the sender's token.
fn request(edm: &Edm, head: &Parts, item: &Item) -> Result<Request<Body>, GraphError> {
    let wrong =
        |what: &str, text: &str| GraphError::bad_request(format!("The {what} '{text}' cannot be used in a batch."));
    let url = below_root(edm, head, &item.url).trim_start_matches('/');
    if url.contains('#') {
        let message = format!("The address '{}' has a fragment. Write '#' as '%23'.", item.url);
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
            URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| wrong("body of", &item.id.0))?
        }
        Some(value) => super::call::to_json(value),
    };
    let mut request = request.body(Body::from(body)).map_err(|_| wrong("address", &item.url))?;
    if let Some(token) = head.headers.get(AUTHORIZATION) {
        request.headers_mut().insert(AUTHORIZATION, token.clone());
    }
    *request.extensions_mut() = head.extensions.clone();
    request.extensions_mut().insert(InBatch);
    Ok(request)
}

/// What an address says after the root of the batch. Addresses are meant to begin there;
/// Microsoft's SDK for Python writes them whole.
fn below_root<'a>(edm: &Edm, head: &Parts, url: &'a str) -> &'a str {
    let base = head.extensions.get::<BaseAddress>().expect("the edge gives every request its base address");
    let root = format!("{}/{}/", base.0, edm.version.segment());
    match url.split_at_checked(root.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(&root) => rest,
        _ => url,
    }
}

/// The answer to an item, if its body fits into the room that is left, and takes that room.
async fn wrap(id: &ItemId, response: Response<Body>, room: &mut usize) -> Result<BatchResponse, GraphError> {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.map(Collected::to_bytes).expect("bodies of this pipeline are in memory");
    let media = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // No body gets smaller within JSON, so what is too large already is not written there first.
    let body = if bytes.len() > *room { return Err(too_large(head.status)) } else { embed(media, &bytes) };
    let size = body.as_ref().map_or(0, |body| body.get().len());
    *room = room.checked_sub(size).ok_or_else(|| too_large(head.status))?;
    let shown = head.headers.iter().filter(|(name, _)| **name != DIAGNOSTIC);
    let headers =
        shown.filter_map(|(name, value)| Some((title_case(name.as_str()), value.to_str().ok()?.to_owned()))).collect();
    Ok(BatchResponse { id: id.0.clone(), status: head.status.as_u16(), headers, body })
}

/// What was done stays done, so the message says how that ended.
fn too_large(status: StatusCode) -> GraphError {
    let message = format!(
        "The request was carried out with the status {}, but its answer is left out: the answers of a batch have at most \
         {BATCH_ANSWER_BYTES_MAX} bytes. Read it with a request of its own, or with fewer in one batch.",
        status.as_u16()
    );
    GraphError::new(507, "batchAnswerTooLarge", message)
}

/// A body within JSON: JSON as it is, text as a text, anything else in base64.
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

/// `content-type` as `Content-Type`, as people write it.
fn title_case(name: &str) -> String {
    let capital = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    name.split('-').filter(|part| !part.is_empty()).map(capital).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(requests: Value) -> Result<(), String> {
        let batch = read(json!({"requests": requests}).to_string().as_bytes());
        batch.and_then(|batch| check(&batch)).map_err(|error| error.message)
    }

    fn item(id: &str, depends_on: &[&str]) -> Value {
        json!({"id": id, "method": "GET", "url": "/me/cloudPCs", "dependsOn": depends_on})
    }

    #[test]
    fn a_batch_is_checked_as_a_whole() {
        let many = |count: usize| Value::from((0..count).map(|n| item(&n.to_string(), &[])).collect::<Vec<_>>());
        assert_eq!(checked(many(REQUESTS_MAX)), Ok(()));
        assert!(checked(many(REQUESTS_MAX + 1)).is_err());
        assert!(checked(many(0)).is_err());
        assert_eq!(
            checked(json!([item("a", &[]), item("A", &[])])).unwrap_err(),
            "Two requests of the batch have the id 'A'."
        );
        assert!(checked(json!([item("a", &["b"])])).is_err());
        assert!(checked(json!([item("a", &["b"]), item("b", &["a"])])).unwrap_err().contains("circle"));
        assert!(checked(json!([item("a", &["a"])])).unwrap_err().contains("circle"));
        assert_eq!(checked(json!([item("a", &["B"]), item("b", &[])])), Ok(()));
        assert!(checked(json!([{"id": "a"}])).is_err());
    }

    #[tokio::test]
    async fn an_answer_that_does_not_fit_is_left_out_and_takes_no_room() {
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
            // Base64 is larger than what it holds.
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

    #[test]
    fn names_come_in_any_case_and_ids_as_numbers() {
        let odd = json!([{"ID": 731904, "Method": "GET", "URL": "/a", "Headers": null, "BODY": null},
                         {"id": "b", "method": "GET", "url": "/a", "DependsOn": [731904]}]);
        let batch = read(json!({"Requests": odd}).to_string().as_bytes()).unwrap();
        assert_eq!((check(&batch), batch.requests[0].id.0.as_str()), (Ok(()), "731904"));
        assert_eq!(
            checked(json!([item("1", &[]), {"id": 1, "method": "GET", "url": "/a"}])).unwrap_err(),
            "Two requests of the batch have the id '1'."
        );
        assert!(
            checked(json!([{"id": "a", "method": "GET", "url": "/a", "URL": "/b"}]))
                .unwrap_err()
                .contains("duplicate name")
        );
        assert!(
            checked(json!([{"id": "a", "method": "GET", "url": "/a", "dependsOn": [], "depends_on": []}])).is_err()
        );
        for wrong in [json!(true), json!([1]), json!({"a": 1}), json!("")] {
            assert!(checked(json!([{"id": wrong, "method": "GET", "url": "/a"}])).is_err());
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_depth_has_a_bound() {
        let text = json!({"requests": [item("a", &[])]}).to_string();
        assert!(read(format!("\u{feff}{text}").as_bytes()).is_ok());
        let deep = |levels: usize| {
            let body = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            read(format!(r#"{{"requests":[{{"id":"a","method":"GET","url":"/a","body":{body}}}]}}"#).as_bytes())
        };
        assert!(deep(DEPTH_MAX).is_ok());
        assert!(deep(DEPTH_MAX + 1).is_err());
    }
}
