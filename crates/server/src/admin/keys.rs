//! The signing keys of tokens.

use bytes::Bytes;
use cloudpc_model::{AuditVerb, ResourceType};
use serde::Deserialize;

use super::{AdminCall, read};
use crate::identity::OldKeys;
use crate::pipeline::Problem;

/// The body that rotates the keys.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rotation {
    /// Whether old keys are dropped, as after a leak: every token issued here so far becomes
    /// invalid, the caller's own included.
    drop_old: bool,
}

pub async fn rotate(call: AdminCall, body: Bytes) -> Result<(), Problem> {
    let Rotation { drop_old } = read(&body)?;
    let (old, verb) = match drop_old {
        true => (OldKeys::Drop, AuditVerb::Replace),
        false => (OldKeys::Retire, AuditVerb::Rotate),
    };
    call.app.identity.rotate_keys(old).await?;
    Ok(call.write_audit(call.audit(verb, ResourceType::SigningKey, "")).await?)
}
