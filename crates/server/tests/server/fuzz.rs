//! Random requests generated from the contract: all its paths, options and bodies, with valid and
//! invalid values.
//!
//! No request gets a server error, each error has an envelope, and only implemented operations
//! succeed. `CLOUDPC_SEED` sets another seed.

use axum::body::Body;
use cloudpc_graph::edm::{BodyShape, Operation, TypeRef};
use cloudpc_graph::{Edm, Method, Version};
use cloudpc_server::edge::{Edge, Health, Scheme};
use cloudpc_server::operations;
use cloudpc_server::pipeline::CODES;
use http::Request;
use http_body_util::BodyExt as _;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::sync::Arc;

use crate::world::{DESK_1, DESK_2, DEVICE_1, HOST, PARTNER, PLAN_2, Reply, TestServer, Who, arrival};

const CASES: u32 = 1_500;
const SEED: u64 = 2;

/// Values of keys and arguments: existing, missing and invalid ones.
const KEYS: [&str; 22] = [
    DESK_1,
    DESK_2,
    DEVICE_1,
    PLAN_2,
    PARTNER,
    "10000000-0000-4000-8000-0000000000a1",
    "ada@contoso.test",
    "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc",
    "1",
    "0",
    "-1",
    "99999999999999999999",
    "10000000-0000-4000-8000-00000000dead",
    "",
    "x",
    "%27",
    "%27%27",
    "a%2Fb",
    "%00",
    "%F0%9F%92%BB",
    "..",
    "$count",
];

const OPTIONS: [&str; 40] = [
    "$top=1",
    "$top=0",
    "$top=999999999999",
    "$top=one",
    "$skip=1",
    "$skip=-1",
    "$count=true",
    "$count=maybe",
    "$select=id",
    "$select=id,displayName",
    "$select=*",
    "$select=",
    "$select=nothing",
    "$orderby=displayName",
    "$orderby=displayName desc,id",
    "$orderby=nothing sideways",
    "$expand=assignments",
    "$expand=*",
    "$search=\"x\"",
    "$format=xml",
    "$skiptoken=x",
    "$skiptoken=",
    "$filter=id eq 'x'",
    "$filter=status eq 'provisioned' and not (displayName eq null)",
    "$filter=contains(tolower(displayName),'desk')",
    "$filter=createdDateTime gt 2024-01-01T00:00:00Z",
    "$filter=displayName in ('a','b')",
    "$filter=((((((((((id eq 'x'))))))))))",
    "$filter=id eq",
    "$filter='",
    "$filter=%00",
    "top=1",
    "filter=id eq 'x'",
    "customFilter=status eq 'failed'",
    "activityId=x&cloudPcId=",
    "@a='x'",
    "nothing=1",
    "=",
    "&&",
    "%ff",
];

const WORDS: [&str; 12] = [
    "",
    "x",
    "windows11",
    "hot",
    "fab00000-0000-4000-8000-000000000009",
    DESK_1,
    PLAN_2,
    "https://agents.fabrikam.test/a.msi",
    "file:///etc/passwd",
    "2024-01-01T00:00:00Z",
    "\u{0}",
    "\u{1f4bb}",
];

/// A change to a path.
#[derive(Clone, Copy, Debug)]
enum PathChange {
    None,
    Upper,
    DoubleSlash,
    EndSlash,
    NoParentheses,
    NoCommas,
    Cut,
    Count,
    More,
    Cast,
}

const PATH_CHANGES: [PathChange; 10] = [
    PathChange::None,
    PathChange::Upper,
    PathChange::DoubleSlash,
    PathChange::EndSlash,
    PathChange::NoParentheses,
    PathChange::NoCommas,
    PathChange::Cut,
    PathChange::Count,
    PathChange::More,
    PathChange::Cast,
];

impl PathChange {
    fn apply(self, path: &str) -> String {
        match self {
            Self::None => path.to_owned(),
            Self::Upper => path.to_ascii_uppercase(),
            Self::DoubleSlash => path.replace('/', "//"),
            Self::EndSlash => format!("{path}/"),
            Self::NoParentheses => path.replace("()", ""),
            Self::NoCommas => path.replace(',', ""),
            // An empty path is the service document, which is no operation.
            Self::Cut => {
                path.rsplit_once('/').map_or(path, |(head, _)| if head.is_empty() { path } else { head }).to_owned()
            }
            Self::Count => format!("{path}/$count"),
            Self::More => format!("{path}/more"),
            Self::Cast => format!("{path}/microsoft.graph.cloudPC"),
        }
    }
}

/// The value of a property in a body.
#[derive(Clone, Debug)]
enum Fill {
    Right(Index),
    Wrong(Value),
    LeftOut,
}

#[derive(Clone, Debug)]
struct SentRequest {
    version: Version,
    operation: Index,
    keys: Vec<&'static str>,
    path_change: PathChange,
    method: Option<&'static str>,
    options: Vec<&'static str>,
    fills: Vec<Fill>,
    /// Text sent instead of the body.
    garbage: Option<String>,
    media: &'static str,
    prefer: Option<&'static str>,
    who: Who,
}

fn requests() -> impl Strategy<Value = SentRequest> {
    let version = select(vec![Version::V1, Version::Beta, Version::Beta, Version::Beta]);
    let path_change = prop_oneof![4 => Just(PathChange::None), 1 => select(&PATH_CHANGES[..])];
    let method = weighted(0.1, select(vec!["GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "BREW"]));
    let fill = prop_oneof![
        6 => any::<Index>().prop_map(Fill::Right),
        2 => invalid_value().prop_map(Fill::Wrong),
        1 => Just(Fill::LeftOut),
    ];
    let garbage = weighted(0.1, prop_oneof!["\\PC{0,20}", "[\\[\\]{}\",:0-9a-z\\\\]{0,30}"]);
    let media = prop_oneof![
        9 => Just("application/json"),
        1 => select(vec!["application/json;odata.metadata=full", "text/plain", "", "application/json; charset=utf-16"]),
    ];
    let prefer = weighted(0.2, select(vec!["return=minimal", "include-unknown-enum-members", ";,;"]));
    let who = prop_oneof![6 => Just(Who::Writer), 3 => Just(Who::Ada), 1 => select(vec![Who::Reader, Who::Nobody, Who::Stranger, Who::Alan])];
    let keys = prop_oneof![3 => vec(select(&KEYS[..6]), 4), 1 => vec(select(&KEYS[..]), 4)];
    let what = (version, any::<Index>(), keys, path_change, method, vec(select(&OPTIONS[..]), 0..3));
    let how = (vec(fill, 6), garbage, media, prefer, who);
    (what, how).prop_map(
        |((version, operation, keys, path_change, method, options), (fills, garbage, media, prefer, who))| {
            SentRequest { version, operation, keys, path_change, method, options, fills, garbage, media, prefer, who }
        },
    )
}

fn invalid_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec(("[a-zA-Z@.#]{0,8}", inner), 0..3).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

impl SentRequest {
    fn edm(&self) -> &'static Edm {
        Edm::of(self.version)
    }

    /// Half of the requests call implemented operations, which are the smaller part of the
    /// contract.
    fn operation(&self) -> &'static Operation {
        let all = &self.edm().operations;
        let number = self.operation.index(2 * all.len());
        let done: Vec<_> = all.iter().filter(|operation| operations::row(&operation.key).is_some()).collect();
        all.get(number).unwrap_or_else(|| done[number % done.len()])
    }

    /// Returns the path below the root.
    fn path(&self) -> String {
        let mut keys = self.keys.iter().cycle();
        let mut path = String::new();
        for part in self.operation().path.split_inclusive(['{', '}']) {
            match part.strip_suffix('}') {
                Some(_) => path.push_str(keys.next().unwrap()),
                None => path.push_str(part.trim_end_matches('{')),
            }
        }
        self.path_change.apply(&path)
    }

    fn query(&self) -> String {
        self.options.join("&").replace(' ', "%20").replace('"', "%22")
    }

    fn method(&self) -> &'static str {
        self.method.unwrap_or_else(|| self.operation().method.name())
    }

    fn body(&self) -> String {
        if let Some(garbage) = &self.garbage {
            return garbage.clone();
        }
        match &self.operation().body {
            BodyShape::None => String::new(),
            BodyShape::Parameters(parameters) => Value::Object(self.filled(parameters.iter(), 0)).to_string(),
            BodyShape::Type(name) => self.of_type(name, 0).to_string(),
        }
    }

    fn of_type(&self, name: &str, depth: usize) -> Value {
        let Some(found) = self.edm().type_named(name) else { return json!({}) };
        let writable = found.properties.iter().filter(|property| !property.type_ref.navigation);
        Value::Object(self.filled(writable.map(|property| (&property.name, &property.type_ref)), depth))
    }

    fn filled<'a>(
        &self,
        properties: impl Iterator<Item = (&'a String, &'a TypeRef)>,
        depth: usize,
    ) -> Map<String, Value> {
        let fills = self.fills.iter().cycle();
        let fill = |((name, of), fill): ((&String, &TypeRef), &Fill)| match fill {
            Fill::Right(index) => Some((name.clone(), self.valid_value(of, index, depth))),
            Fill::Wrong(value) => Some((name.clone(), value.clone())),
            Fill::LeftOut => None,
        };
        properties.zip(fills).filter_map(fill).collect()
    }

    /// Returns a value of this type.
    fn valid_value(&self, of: &TypeRef, index: &Index, depth: usize) -> Value {
        if of.collection {
            let single = TypeRef { collection: false, ..of.clone() };
            return Value::from(vec![self.valid_value(&single, index, depth); index.index(4)]);
        }
        if let Some(members) = self.edm().enum_named(&of.name) {
            return members.members[index.index(members.members.len())].clone().into();
        }
        match of.name.as_str() {
            "Edm.Boolean" => (index.index(2) == 1).into(),
            "Edm.Int32" | "Edm.Int64" | "integer" | "number" | "Edm.Double" => index.index(1_000).into(),
            name if name.starts_with("Edm.") => WORDS[index.index(WORDS.len())].into(),
            name if depth < 2 => self.of_type(name, depth + 1),
            _ => Value::Null,
        }
    }

    /// Returns what is wrong with the response.
    fn problem(&self, reply: &Reply) -> Option<String> {
        let status = reply.status.as_u16();
        if status >= 500 && status != 501 {
            return Some("it is a server error".into());
        }
        if status >= 400 {
            return envelope_problem(&reply.body);
        }
        let json = serde_json::from_str::<Value>(&reply.body).is_ok();
        let text = reply.headers.get("content-type").is_some_and(|media| media == "text/plain");
        if !(json || text || status == 204 && reply.body.is_empty()) {
            return Some("it is not JSON, plain text or empty".into());
        }
        let method = Method::named(self.method()).expect("other methods are rejected");
        match self.edm().resolve(method, &self.path(), &self.query()) {
            Ok(target) if operations::row(&target.operation.key).is_some() => None,
            Ok(target) => Some(format!("{} is not implemented", target.operation.key)),
            Err(error) => Some(format!("the path does not resolve: {error}")),
        }
    }
}

fn envelope_problem(body: &str) -> Option<String> {
    let Ok(body) = serde_json::from_str::<Value>(body) else { return Some("the error is not JSON".into()) };
    let error = &body["error"];
    let whole = error["code"].as_str().is_some_and(|code| CODES.contains(&code))
        && error["message"].as_str().is_some_and(|message| !message.is_empty())
        && error["innerError"]["request-id"].is_string();
    if whole { None } else { Some("the error envelope is incomplete".into()) }
}

fn runner() -> TestRunner {
    let seed = std::env::var("CLOUDPC_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    TestRunner::new(ProptestConfig {
        cases: CASES,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

#[test]
fn graph_requests_get_valid_responses() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(TestServer::new());
    runtime.block_on(async { world.run() });
    let (number, succeeded, unimplemented) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let tried = runner().run(&requests(), |sent| {
        let path = format!("/{}{}?{}", sent.version.segment(), sent.path(), sent.query());
        let Ok(request) = Request::builder().method(sent.method()).uri(&path).body(()) else {
            // The HTTP library rejects such a request.
            return Err(TestCaseError::reject("no request"));
        };
        let reply = runtime.block_on(async {
            let (mut head, ()) = request.into_parts();
            let token = world.token(sent.who).await;
            head.headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
            head.headers.insert("content-type", sent.media.parse().unwrap());
            if let Some(prefer) = sent.prefer {
                head.headers.insert("prefer", prefer.parse().unwrap());
            }
            let reply = world.send(Request::from_parts(head, Body::from(sent.body()))).await;
            number.set(number.get() + 1);
            // From time to time, all accepted actions run to their end.
            if number.get() % 200 == 0 {
                world.rest().await;
            }
            reply
        });
        succeeded.set(succeeded.get() + usize::from(reply.status.is_success()));
        unimplemented.set(unimplemented.get() + usize::from(reply.status == 501));
        match sent.problem(&reply) {
            None => Ok(()),
            Some(problem) => {
                Err(TestCaseError::fail(format!("{problem}: {} {path}\n{}\n{reply}", sent.method(), sent.body())))
            }
        }
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
    // The test must cover successful requests too.
    assert!(succeeded.get() > CASES as usize / 20, "{} of {CASES} succeeded", succeeded.get());
    assert_eq!(unimplemented.get(), 0);
}

#[test]
fn batch_response_equals_the_single_response() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(TestServer::new());
    let succeeded = Cell::new(0);
    let tried = runner().run(&requests(), |sent| {
        let path = format!("{}?{}", sent.path(), sent.query());
        let root = sent.version.segment();
        if Request::builder().uri(format!("/{root}{path}")).body(()).is_err() {
            return Err(TestCaseError::reject("no request"));
        }
        // Only reads: a repeated change has another response.
        let batch = json!({"requests": [{"id": 1, "method": "GET", "url": path}]});
        let (alone, batch) = runtime.block_on(async {
            let alone = world.get(sent.who, &format!("/{root}{path}")).await;
            (alone, world.call(sent.who, "POST", &format!("/{root}/$batch"), Some(batch)).await.json())
        });
        succeeded.set(succeeded.get() + usize::from(alone.status.is_success()));
        let item = &batch["responses"][0];
        prop_assert_eq!(&item["status"], &json!(alone.status.as_u16()), "{}: {}", path, alone);
        // Each launch response has a new single-use URL.
        if !alone.body.contains("/desktop/") {
            let body = serde_json::from_str(&alone.body).unwrap_or_else(|_| json!(alone.body));
            let is_count = item["headers"]["Content-Type"] == "text/plain";
            prop_assert_eq!(&item["body"], &if is_count { json!(alone.body) } else { body }, "{}", path);
        }
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
    assert!(succeeded.get() > CASES as usize / 20, "{} of {CASES} succeeded", succeeded.get());
}

const PLACES: [&str; 18] = [
    "/healthz",
    "/readyz",
    "/devicelogin",
    "/common/v2.0/.well-known/openid-configuration",
    "/organizations/discovery/v2.0/keys",
    "/10000000-0000-4000-8000-000000000001/oauth2/v2.0/token",
    "/common/oauth2/v2.0/devicecode",
    "/common/oauth2/v2.0/authorize",
    "/_cloudpc/apps",
    "/_cloudpc/apps/10000000-0000-4000-8000-0000000000b3",
    "/_cloudpc/tokens",
    "/_cloudpc/keys/rotate",
    "/_cloudpc/clock",
    "/_cloudpc/faults",
    "/_cloudpc/faults/7",
    "/_cloudpc/scenario",
    "/beta/$batch",
    "/v1.0/$metadata",
];

const FORMS: [&str; 10] = [
    "grant_type=client_credentials&client_id=10000000-0000-4000-8000-0000000000b1&client_secret=x&scope=https://graph.microsoft.com/.default",
    "grant_type=refresh_token&refresh_token=a.b.c&client_id=6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10",
    "client_id=6b1f09a2-5c0e-4d5b-9a53-2f3c8e417d10&scope=openid",
    "user_code=BCDFGHJK&form_token=x",
    "{\"requests\":[{\"id\":\"1\",\"method\":\"GET\",\"url\":\"/me/cloudPCs\"}]}",
    "{\"requests\":[{\"id\":\"1\",\"method\":\"\",\"url\":\"\"},{\"id\":\"2\",\"method\":\"GET\",\"url\":\"%%%\",\"dependsOn\":[\"1\"]}]}",
    "{\"name\":\"x\",\"permissions\":[]}",
    "{\"user\":\"ada@contoso.test\"}",
    "{\"enabled\":true}",
    "{\"effect\":{\"fail\":\"x\"}}",
];

#[test]
fn requests_outside_graph_get_valid_responses() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(TestServer::new());
    let edge = Edge::new(world.app.clone(), Arc::new(Health::default()));
    let path = prop_oneof![
        8 => select(&PLACES[..]).prop_map(str::to_owned),
        1 => select(&PLACES[..]).prop_map(|path| path.replace("/v2.0", "/%ff")),
        1 => "/[a-z$%/_.0-9]{0,20}",
    ];
    let query = weighted(0.3, "[a-z_=&%0-9]{0,20}");
    let method =
        select(vec!["GET", "GET", "POST", "POST", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"]);
    let body = prop_oneof![5 => select(&FORMS[..]).prop_map(str::to_owned), 1 => "\\PC{0,30}", 1 => invalid_value().prop_map(|value| value.to_string())];
    let media =
        select(vec!["application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"]);
    let authorised = weighted(0.7, select(vec![Who::Ada, Who::Stranger]));
    let tried =
        runner().run(&(path, query, method, body, media, authorised), |(path, query, method, body, media, who)| {
            let address = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
            let request =
                Request::builder().method(method).uri(&address).header("host", HOST).header("content-type", media);
            let request = match who {
                Some(who) => {
                    let token = runtime.block_on(world.token(who));
                    request.header("authorization", format!("Bearer {token}"))
                }
                None => request,
            };
            let Ok(request) = request.body(Body::from(body.clone())) else {
                return Err(TestCaseError::reject("no request"));
            };
            let (status, media, text) = runtime.block_on(async {
                let answer = edge.answer(request, &arrival(Scheme::Https)).await;
                let (head, body) = answer.into_parts();
                let media = head.headers.get("content-type").map(|media| media.to_str().unwrap().to_owned());
                let bytes = body.collect().await.unwrap().to_bytes();
                (head.status.as_u16(), media.unwrap_or_default(), String::from_utf8_lossy(&bytes).into_owned())
            });
            let problem = match status {
                // The engine does not run, so the server is not ready.
                503 if path == "/readyz" => None,
                500.. => Some("it is a server error".to_owned()),
                400.. if path.contains("/oauth2/") || path == "/devicelogin" || method == "HEAD" => None,
                400.. if path.contains(".well-known") || path.contains("/discovery/") => None,
                400.. => envelope_problem(&text),
                _ => None,
            };
            match problem {
                None => Ok(()),
                Some(problem) => {
                    Err(TestCaseError::fail(format!("{problem}: {method} {address}\n{body}\n{status} {media}\n{text}")))
                }
            }
        });
    tried.unwrap_or_else(|error| panic!("{error}"));
}
