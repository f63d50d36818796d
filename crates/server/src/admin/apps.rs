//! Applications that may ask for tokens.

use bytes::Bytes;
use cloudpc_graph::{GraphError, is_control_or_bidi};
use cloudpc_model::{AppId, AuditVerb, Error, ResourceType};
use cloudpc_store::Application;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

use super::{AdminCall, AdminReply, may_grant, read};
use crate::identity::Identity;
use crate::pipeline::{PERMISSIONS, Problem};

/// Longest name of an application.
pub const NAME_CHARS_MAX: usize = 256;

/// An application to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewApp {
    name: String,
    permissions: Vec<String>,
}

/// What changes about an application.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppChange {
    enabled: bool,
}

pub async fn list(call: AdminCall, _body: Bytes) -> Result<Value, Problem> {
    let tenant = call.caller.tenant_id;
    let apps = call.app.store.read(move |reader| reader.app_list(tenant)).await?;
    Ok(json!({ "value": apps.iter().map(describe).collect::<Vec<_>>() }))
}

pub async fn create(call: AdminCall, body: Bytes) -> Result<AdminReply, Problem> {
    let NewApp { name, permissions } = read(&body)?;
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(GraphError::bad_request(format!("The name has to have 1 to {NAME_CHARS_MAX} characters."))
            .about("name")
            .into());
    }
    if name.contains(is_control_or_bidi) {
        let message = "The name holds a control character, or one that turns the direction of text. Leave it out.";
        return Err(GraphError::bad_request(message).about("name").into());
    }
    if let Some(unknown) = permissions.iter().find(|permission| !PERMISSIONS.contains(&permission.as_str())) {
        let message = format!("There is no permission '{unknown}'. There are: {}.", PERMISSIONS.join(", "));
        return Err(GraphError::bad_request(message).about("permissions").into());
    }
    may_grant(&call.caller, &permissions)?;
    let secret = Identity::new_app_secret(call.app.rng.as_ref());
    let app = Application {
        tenant_id: call.caller.tenant_id,
        id: AppId::random(call.app.rng.as_ref()),
        name,
        secret_hash: Some(secret.hash),
        permissions,
        enabled: true,
    };
    let mut answer = describe(&app);
    answer["clientSecret"] = secret.secret.into();
    let entry = call
        .audit(AuditVerb::Create, ResourceType::Application, app.id)
        .detail("name", &app.name)
        .detail("permissions", &app.permissions.join(" "));
    call.app
        .store
        .write("app.create", move |tx| {
            tx.app_put(&app)?;
            Ok::<_, Error>(tx.audit_insert(&entry)?)
        })
        .await?;
    Ok(AdminReply::Created(answer))
}

/// Takes effect at once: the tokens of a disabled application are refused from the next request on.
pub async fn change(call: AdminCall, id: String, body: Bytes) -> Result<Value, Problem> {
    let AppChange { enabled } = read(&body)?;
    let unknown = || Problem::not_found("application", &id);
    let (tenant, app_id) = (call.caller.tenant_id, id.parse::<AppId>().map_err(|_| unknown())?);
    call.must_not_be_the_owners(app_id).await?;
    let verb = if enabled { AuditVerb::Enable } else { AuditVerb::Disable };
    let entry = call.audit(verb, ResourceType::Application, app_id);
    let caller = Arc::clone(&call.caller);
    let changed = call
        .app
        .store
        .write("app.update", move |tx| {
            let Some(app) = tx.app(tenant, app_id)? else { return Ok(None) };
            // To enable an application is to grant its permissions once more.
            if enabled {
                may_grant(&caller, &app.permissions)?;
            }
            let app = Application { enabled, ..app };
            tx.app_put(&app)?;
            tx.audit_insert(&entry)?;
            Ok::<_, Problem>(Some(app))
        })
        .await?
        .ok_or_else(unknown)?;
    call.app.identity.forget_verified();
    Ok(describe(&changed))
}

fn describe(app: &Application) -> Value {
    json!({
        "tenantId": app.tenant_id,
        "clientId": app.id,
        "name": app.name,
        "permissions": app.permissions,
        "enabled": app.enabled,
    })
}
