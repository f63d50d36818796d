//! `POST …/cloudApps/unpublish`

use cloudpc_model::{AuditVerb, Document};
use cloudpc_store::Tx;
use serde_json::json;
use std::sync::Arc;

use super::change;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    change(call, AuditVerb::Unpublish, unpublish).await
}

/// Makes an application unavailable to users. One whose publishing failed stays as it is.
fn unpublish(_: &mut Tx<'_>, _: &Call, app: &mut Document) -> Result<(), Problem> {
    app.status.insert("availableToUser".into(), json!(false));
    if super::status(app) == "published" {
        app.status.insert("appStatus".into(), json!("ready"));
    }
    Ok(())
}
