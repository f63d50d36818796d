//! Repeated requests: a POST that a client sends again because it got no answer starts nothing
//! twice, and gets the first answer.
//!
//! A repeat has the caller, `client-request-id`, path, query and body of the first request. Clients
//! send a new id with each request and the same one when they retry; tools that trace several calls
//! by one id differ in the rest, and are not refused. That a request was carried out is noted in
//! the transaction that does it (with its audit row), so a crash can lose the answer to it, but not
//! that it was accepted. Requests that fail are not remembered: a repeat is tried again.
//!
//! Graph does not do this, so it happens under open fidelity only.

use cloudpc_graph::edm::ResponseShape;
use cloudpc_graph::{GraphError, Operation};
use cloudpc_model::RequestKey;
use cloudpc_store::AcceptedRequest;
use http::Method;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::{Answer, Call, Problem};
use crate::app::App;
use crate::caller::Caller;
use crate::config::Fidelity;
use crate::operations::Row;
use crate::request::{CLIENT_REQUEST_ID, CLIENT_REQUEST_ID_BYTES_MAX};

/// Longest answer that is kept for a repeat, as JSON.
pub const KEPT_ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Requests that are being carried out, so that a repeat of one waits for it.
#[derive(Default)]
pub struct Repeats {
    open: Mutex<HashMap<RequestKey, Weak<AsyncMutex<()>>>>,
}

impl Repeats {
    /// Waits until no other request of this key is carried out.
    async fn turn(&self, key: RequestKey) -> OwnedMutexGuard<()> {
        let turn = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|_, turn| turn.strong_count() > 0);
            let turn = open.get(&key).and_then(Weak::upgrade).unwrap_or_default();
            open.insert(key, Arc::downgrade(&turn));
            turn
        };
        turn.lock_owned().await
    }
}

/// Returns what a repeat of a request is recognised by; none if it is not.
pub(super) fn key(app: &App, caller: &Caller, head: &Parts, body: &[u8]) -> Option<RequestKey> {
    let id = head.headers.get(CLIENT_REQUEST_ID)?.as_bytes();
    let is_valid = (1..=CLIENT_REQUEST_ID_BYTES_MAX).contains(&id.len());
    if app.fidelity != Fidelity::Open || head.method != Method::POST || !is_valid {
        return None;
    }
    let (user, app) = (caller.user.as_ref().map(|user| user.id.0), caller.app_id.map(|app| app.0));
    let (user_bytes, app_bytes) = (user.unwrap_or_default().into_bytes(), app.unwrap_or_default().into_bytes());
    let path_and_query = head.uri.path_and_query().map_or("", |text| text.as_str());
    let mut hash = Sha256::new();
    for part in [&user_bytes, &app_bytes, id, path_and_query.as_bytes(), body] {
        // The length keeps the parts apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Some(RequestKey {
        tenant_id: caller.tenant_id,
        caller: user.or(app).unwrap_or_default(),
        hash: hash.finalize().into(),
    })
}

/// Runs the operation of a call, or returns the answer to the request that it repeats.
pub(super) async fn once(call: &Arc<Call>, row: &Row) -> Result<Answer, Problem> {
    let Some(key) = call.request_key else { return (row.handler)(Arc::clone(call)).await };
    let _turn = call.app.repeats.turn(key).await;
    let (store, at) = (&call.app.store, call.at);
    if let Some(accepted) = call.store().read(move |reader| reader.accepted_request(&key, at)).await? {
        return known(call.target.operation, &accepted);
    }
    let answer = (row.handler)(Arc::clone(call)).await;
    match &answer {
        Ok(answer) => {
            if let Some(kept) = KeptAnswer::of(answer).map(|kept| serde_json::to_string(&kept).expect("text is JSON"))
                && kept.len() <= KEPT_ANSWER_BYTES_MAX
            {
                // A crash may lose the answer, so the caller does not wait for the disk again.
                let keep = store.in_background();
                keep.write("request.answer", move |tx| tx.accepted_request_answer(&key, &kept)).await?;
            }
        }
        // What it did before it failed is done again.
        Err(_) => store.write("request.forget", move |tx| tx.accepted_request_delete(&key)).await?,
    }
    answer
}

/// Returns the answer to a request that was carried out before.
fn known(operation: &Operation, accepted: &AcceptedRequest) -> Result<Answer, Problem> {
    let kept = accepted.answer.as_ref().and_then(|text| serde_json::from_str::<KeptAnswer>(text).ok());
    match kept {
        Some(kept) => Ok(kept.into_answer()),
        None if operation.response == ResponseShape::None => Ok(Answer::NoContent),
        None => {
            let message = "A request with this client-request-id and body was carried out, but its answer was not \
                           kept. Read what it made; send another client-request-id to repeat it.";
            Err(GraphError::new(409, "requestAlreadyAccepted", message).into())
        }
    }
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
enum KeptAnswer {
    Json { body: String },
    Started,
    Accepted { body: String },
    Created { location: String, body: String },
    Updated { body: String },
    Tagged { answer: Box<KeptAnswer>, etag: String },
}

impl KeptAnswer {
    /// Returns an answer to be kept; none if its operation tells it, or if no change has it.
    fn of(answer: &Answer) -> Option<Self> {
        let text = |body: &[u8]| String::from_utf8(body.to_vec()).ok();
        Some(match answer {
            Answer::NoContent | Answer::Text(_) | Answer::Picture(_) | Answer::Immutable(_) => return None,
            Answer::Json(body) => Self::Json { body: text(body)? },
            Answer::Started => Self::Started,
            Answer::Accepted(body) => Self::Accepted { body: text(body)? },
            Answer::Created { location, body } => Self::Created { location: location.clone(), body: text(body)? },
            Answer::Updated(body) => Self::Updated { body: text(body)? },
            Answer::Tagged(answer, etag) => Self::Tagged { answer: Box::new(Self::of(answer)?), etag: etag.clone() },
        })
    }

    fn into_answer(self) -> Answer {
        match self {
            Self::Json { body } => Answer::Json(body.into_bytes()),
            Self::Started => Answer::Started,
            Self::Accepted { body } => Answer::Accepted(body.into_bytes()),
            Self::Created { location, body } => Answer::Created { location, body: body.into_bytes() },
            Self::Updated { body } => Answer::Updated(body.into_bytes()),
            Self::Tagged { answer, etag } => answer.into_answer().tagged(etag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_graph::{Edm, Version};

    #[test]
    fn every_kept_answer_is_read_back_as_it_was() {
        let body = || b"{\"id\":\"1\"}".to_vec();
        for answer in [
            Answer::Json(body()),
            Answer::Started,
            Answer::Accepted(body()),
            Answer::Created { location: "https://h/1".into(), body: body() }.tagged("W/\"1\"".into()),
            Answer::Updated(body()),
        ] {
            let kept = serde_json::to_string(&KeptAnswer::of(&answer).unwrap()).unwrap();
            assert_eq!(serde_json::from_str::<KeptAnswer>(&kept).unwrap().into_answer(), answer);
        }
    }

    #[test]
    fn without_a_kept_answer_only_an_operation_without_content_is_answered() {
        let answered = |key: &str| {
            let operation = Edm::of(Version::Beta).operations.iter().find(|operation| operation.key == key).unwrap();
            known(operation, &AcceptedRequest { answer: None }).map_err(|problem| problem.into_graph(key, "1").code)
        };
        assert_eq!(answered("cloudPC.reboot"), Ok(Answer::NoContent));
        assert_eq!(answered("cloudPcUserSetting.create"), Err("requestAlreadyAccepted".into()));
    }

    #[tokio::test]
    async fn a_repeat_waits_and_nothing_is_kept_of_closed_requests() {
        let repeats = Repeats::default();
        let key = |n| RequestKey {
            tenant_id: cloudpc_model::TenantId(uuid::Uuid::nil()),
            caller: uuid::Uuid::nil(),
            hash: [n; 32],
        };
        let first = repeats.turn(key(1)).await;
        let other = repeats.turn(key(2)).await;
        assert!(futures_util::poll!(std::pin::pin!(repeats.turn(key(1)))).is_pending());
        drop((first, other));
        drop(repeats.turn(key(1)).await);
        drop(repeats.turn(key(3)).await);
        assert_eq!(repeats.open.lock().unwrap().len(), 1);
    }
}
