//! `POST …/cloudApps/publish`

use cloudpc_model::{AuditVerb, Document};
use cloudpc_store::Tx;
use serde_json::json;
use std::sync::Arc;

use super::{CLOUD_APPS_PUBLISHED_MAX, change, status};
use crate::documents::cloud_app::{of_policy, policy_id};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    change(call, AuditVerb::Publish, publish).await
}

/// Publishes an application; it fails if its policy has as many published ones as it may have.
fn publish(tx: &mut Tx<'_>, call: &Call, app: &mut Document) -> Result<(), Problem> {
    let others = of_policy(tx, call.tenant(), policy_id(app))?;
    let published = others.iter().filter(|other| other.key != app.key && status(other) == "published").count();
    if published >= CLOUD_APPS_PUBLISHED_MAX {
        let message = format!("The policy has {CLOUD_APPS_PUBLISHED_MAX} published applications. Unpublish one first.");
        app.status.insert("appStatus".into(), json!("failed"));
        app.status.insert("actionFailedErrorCode".into(), json!("cloudAppQuotaExceeded"));
        app.status.insert("actionFailedErrorMessage".into(), json!(message));
        return Ok(());
    }
    app.status.remove("actionFailedErrorCode");
    app.status.remove("actionFailedErrorMessage");
    app.status.insert("appStatus".into(), json!("published"));
    app.status.insert("availableToUser".into(), json!(true));
    app.status.insert("lastPublishedDateTime".into(), json!(call.at.to_string()));
    Ok(())
}
