//! Tokens for tests and scripts, issued without signing in.

use bytes::Bytes;
use cloudpc_model::{AppId, AuditVerb, ResourceType};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AdminCall, check_grant, read};
use crate::pipeline::Problem;

/// The body that requests a token.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "expected either user, with optional permissions, or app")]
enum TokenRequestBody {
    User {
        user: String,
        #[serde(default)]
        permissions: Option<Vec<String>>,
    },
    App {
        app: AppId,
    },
}

pub async fn create(call: AdminCall, body: Bytes) -> Result<Value, Problem> {
    let (identity, tenant) = (&call.app.identity, call.caller.tenant_id);
    let (token, subject) = match read(&body)? {
        TokenRequestBody::User { user, permissions } => {
            (identity.issue_for_user(&call.base, tenant, &user, permissions.as_deref()).await?, user)
        }
        TokenRequestBody::App { app } => {
            if !call.caller.is_owner {
                call.refuse_owner_app(app).await?;
            }
            (identity.issue_for_app(&call.base, tenant, app).await?, app.to_string())
        }
    };
    check_grant(&call.caller, &token.permissions)?;
    let entry = call.audit(AuditVerb::Create, ResourceType::AccessToken, subject);
    call.write_audit(entry.detail("permissions", &token.permissions.join(" "))).await?;
    Ok(json!({ "accessToken": token.token, "expiresIn": token.expires_in.as_secs() }))
}
