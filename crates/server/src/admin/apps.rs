//! Registered applications.

use bytes::Bytes;
use cloudpc_graph::{GraphError, is_control_or_bidi};
use cloudpc_identity::permissions::PERMISSIONS;
use cloudpc_model::{AppId, AuditVerb, Error, ResourceType};
use cloudpc_store::Application;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

use super::{AdminCall, AdminReply, check_grant, read};
use crate::identity::{Identity, check_certificate};
use crate::pipeline::Problem;

/// Length limit of an application's name, in characters.
pub const NAME_CHARS_MAX: usize = 256;

/// The body that creates an application.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewApp {
    name: String,
    permissions: Vec<String>,
    /// A certificate by which the application can sign in, PEM of X.509.
    certificate: Option<String>,
}

/// The body that changes an application.
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
    let NewApp { name, permissions, certificate } = read(&body)?;
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(GraphError::bad_request(format!(
            "The name has {} characters. Expected 1 to {NAME_CHARS_MAX}.",
            name.chars().count()
        ))
        .about("name")
        .into());
    }
    if name.contains(is_control_or_bidi) {
        let message = "The name contains a control character or a bidirectional formatting character. Remove it.";
        return Err(GraphError::bad_request(message).about("name").into());
    }
    if let Some(unknown) = permissions.iter().find(|permission| !PERMISSIONS.contains(&permission.as_str())) {
        let message = format!("Unknown permission '{unknown}'. Available permissions: {}.", PERMISSIONS.join(", "));
        return Err(GraphError::bad_request(message).about("permissions").into());
    }
    check_grant(&call.caller, &permissions)?;
    let certificate = certificate.as_deref().map(certificate_of).transpose()?;
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
            if let Some(certificate) = &certificate {
                tx.app_certificate_put(app.tenant_id, app.id, certificate)?;
            }
            Ok::<_, Error>(tx.audit_insert(&entry)?)
        })
        .await?;
    Ok(AdminReply::Created(answer))
}

/// Enables or disables an application. The change takes effect with the next request: tokens of a
/// disabled application are rejected.
pub async fn change(call: AdminCall, id: String, body: Bytes) -> Result<Value, Problem> {
    let AppChange { enabled } = read(&body)?;
    let unknown = || Problem::not_found("application", &id);
    let (tenant, app_id) = (call.caller.tenant_id, id.parse::<AppId>().map_err(|_| unknown())?);
    call.refuse_owner_app(app_id).await?;
    let verb = if enabled { AuditVerb::Enable } else { AuditVerb::Disable };
    let entry = call.audit(verb, ResourceType::Application, app_id);
    let caller = Arc::clone(&call.caller);
    let changed = call
        .app
        .store
        .write("app.update", move |tx| {
            let Some(app) = tx.app(tenant, app_id)? else { return Ok(None) };
            // Enabling an application grants its permissions again.
            if enabled {
                check_grant(&caller, &app.permissions)?;
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

/// Returns the DER of a certificate in PEM.
fn certificate_of(pem: &str) -> Result<CertificateDer<'static>, Problem> {
    let invalid = |message: String| Problem::from(GraphError::bad_request(message).about("certificate"));
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| invalid("The certificate is not PEM. Expected -----BEGIN CERTIFICATE-----.".into()))?;
    check_certificate(&certificate).map_err(invalid)?;
    Ok(certificate)
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
