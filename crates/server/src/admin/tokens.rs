//! Tokens for tests and scripts, made without signing in.

use bytes::Bytes;
use cloudpc_model::{AppId, AuditVerb, ResourceType};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AdminCall, may_grant, read};
use crate::pipeline::Problem;

/// For whom a token is made.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "give either user (with permissions, if not all) or app")]
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
    let (token, whose) = match read(&body)? {
        TokenRequestBody::User { user, permissions } => {
            (identity.issue_for_user(&call.base, tenant, &user, permissions.as_deref()).await?, user)
        }
        TokenRequestBody::App { app } => {
            if !call.caller.is_owner {
                call.must_not_be_the_owners(app).await?;
            }
            (identity.issue_for_app(&call.base, tenant, app).await?, app.to_string())
        }
    };
    may_grant(&call.caller, &token.permissions)?;
    let entry = call.audit(AuditVerb::Create, ResourceType::AccessToken, whose);
    call.write_audit(entry.detail("permissions", &token.permissions.join(" "))).await?;
    Ok(json!({ "accessToken": token.token, "expiresIn": token.expires_in.as_secs() }))
}
