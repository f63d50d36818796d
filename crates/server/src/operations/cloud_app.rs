//! Operations on cloud applications.

pub(super) mod discovered_apps;
pub(super) mod publish;
pub(super) mod reset;
pub(super) mod unpublish;

use cloudpc_graph::GraphError;
use cloudpc_model::{AuditResource, AuditVerb, Document, DocumentKey, DocumentType, ResourceType};
use cloudpc_store::Tx;
use serde_json::Value;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem, required};

/// Most published applications of a policy, as in Windows 365.
pub const CLOUD_APPS_PUBLISHED_MAX: usize = 500;
/// Most applications of one request.
const CLOUD_APP_IDS_MAX: usize = 500;

const IDS: &str = "cloudAppIds";

/// Changes the state of the applications that a request names. `change` gets the application in the
/// transaction, where those before it are changed already.
async fn change(
    call: Arc<Call>,
    verb: AuditVerb,
    change: fn(&mut Tx<'_>, &Call, &mut Document) -> Result<(), Problem>,
) -> Result<Answer, Problem> {
    let ids = ids(&call)?;
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        // Nothing is changed unless all of them are there.
        let mut apps = Vec::with_capacity(ids.len());
        for id in &ids {
            let key = DocumentKey::new(DocumentType::CloudPcCloudApp, id);
            let app = tx.document(request.tenant(), &key)?;
            apps.push(app.ok_or_else(|| Problem::not_found("cloudPcCloudApp", id))?);
        }
        for mut app in apps {
            let before = status(&app);
            change(tx, &request, &mut app)?;
            tx.document_status_put(request.tenant(), &app.key, &app.status)?;
            let name = app.body.get("displayName").and_then(Value::as_str).unwrap_or_default();
            let resource = AuditResource::new(ResourceType::Document(app.key.kind), &app.key.id).named(name);
            let entry = request.audit(verb, resource).changed("appStatus", Some(&before), &status(&app));
            tx.audit_insert(&entry)?;
        }
        Ok::<_, Problem>(())
    };
    call.app.store.write("cloudApp.change", write).await?;
    Ok(Answer::NoContent)
}

/// `appStatus` of an application.
fn status(app: &Document) -> String {
    app.status.get("appStatus").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn ids(call: &Call) -> Result<Vec<String>, Problem> {
    let ids = call.body.get(IDS).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if ids.is_empty() {
        return Err(required(IDS).into());
    }
    if ids.len() > CLOUD_APP_IDS_MAX {
        let count = ids.len();
        let message = format!("'{IDS}' has {count} elements; at most {CLOUD_APP_IDS_MAX} are allowed. Send fewer.");
        return Err(GraphError::bad_request(message).about(IDS).into());
    }
    let mut ids: Vec<_> = ids.iter().filter_map(Value::as_str).map(DocumentKey::fold).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}
