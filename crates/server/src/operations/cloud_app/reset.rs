//! `POST …/cloudApps/reset`

use cloudpc_model::{AuditVerb, Document};
use cloudpc_store::Tx;
use serde_json::json;
use std::sync::Arc;

use super::change;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    change(call, AuditVerb::Reset, reset).await
}

/// Takes an application back to the state of a new one. Its details stay: they were not discovered,
/// so there are no others.
fn reset(_: &mut Tx<'_>, _: &Call, app: &mut Document) -> Result<(), Problem> {
    app.status.clear();
    app.status.insert("appStatus".into(), json!("ready"));
    app.status.insert("availableToUser".into(), json!(false));
    Ok(())
}
