//! `$batch`: up to twenty requests in one, each answered by this same pipeline.
//!
//! Requests that depend on nothing run side by side; one that names others waits for them and fails
//! with 424 if any of them failed.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use cloudpc_graph::body::{DEPTH_MAX, json};
use cloudpc_graph::{Edm, GraphError};
use futures_util::future::join_all;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response};
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
use crate::request::{BaseAddress, RequestIds};

/// Most requests of one batch.
pub const REQUESTS_MAX: usize = 20;

/// What clients leave unencoded in the addresses of a batch, though no address may hold it.
const UNENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// How deep the JSON of a batch may be: the bodies of its requests are three levels down.
const BATCH_DEPTH_MAX: usize = DEPTH_MAX + 3;

/// Marks a request that came in a batch. Such a request cannot be a batch, so batches do not nest.
#[derive(Clone, Copy, Debug)]
struct InBatch;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
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
    let envelope: Envelope = members(json(bytes, BATCH_DEPTH_MAX)?).map_err(wrong)?;
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
struct Answers {
    responses: Vec<Answered>,
}

#[derive(Serialize)]
struct Answered {
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
    if head.method != http::Method::POST {
        let mut error = GraphError::new(405, "Request_BadRequest", "A batch is sent with POST.");
        error.allow = vec![cloudpc_graph::Method::Post];
        return Err(error);
    }
    let bytes = body::read(&head.headers, body).await?;
    let batch = read(&bytes)?;
    check(&batch)?;
    let mut answers: Vec<Option<Answered>> = batch.requests.iter().map(|_| None).collect();
    loop {
        let ready = ready(&batch.requests, &answers);
        if ready.is_empty() {
            break;
        }
        let run = ready.iter().map(|place| {
            let item = &batch.requests[*place];
            let failed = item.depends_on.iter().any(|id| !succeeded(&batch.requests, &answers, id));
            async move {
                let response =
                    if failed { Err(failed_dependency(item)) } else { Ok(run(app, edm, head, item, ids).await) };
                let response = response.unwrap_or_else(|error| super::refuse(app, ids, &error));
                (*place, wrap(item.id.0.clone(), response).await)
            }
        });
        for (place, answered) in join_all(run).await {
            answers[place] = Some(answered);
        }
    }
    let responses = answers.into_iter().flatten().collect();
    Ok(with_body(super::call::to_json(&Answers { responses }), CONTENT_TYPE_JSON))
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

/// Places of the requests that are not answered and depend on nothing unanswered.
fn ready(requests: &[Item], answers: &[Option<Answered>]) -> Vec<usize> {
    let answered = |id: &ItemId| requests.iter().zip(answers).any(|(item, answer)| item.id.is(id) && answer.is_some());
    let is_ready = |place: &usize| answers[*place].is_none() && requests[*place].depends_on.iter().all(answered);
    (0..requests.len()).filter(is_ready).collect()
}

fn succeeded(requests: &[Item], answers: &[Option<Answered>], id: &ItemId) -> bool {
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
    let mut request = Request::builder().method(item.method.to_ascii_uppercase().as_str()).uri(uri);
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
    let mut request = request.body(Body::from(body)).map_err(|_| wrong("address or method", &item.url))?;
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

async fn wrap(id: String, response: Response<Body>) -> Answered {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.map(Collected::to_bytes).expect("bodies of this pipeline are in memory");
    let shown = head.headers.iter().filter(|(name, _)| **name != DIAGNOSTIC);
    let headers =
        shown.filter_map(|(name, value)| Some((title_case(name.as_str()), value.to_str().ok()?.to_owned()))).collect();
    let media = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Answered { id, status: head.status.as_u16(), headers, body: embed(media, &bytes) }
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
            checked(json!([{"id": "a", "method": "GET", "url": "/a", "URL": "/b"}])).unwrap_err().contains("twice")
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
