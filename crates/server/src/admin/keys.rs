//! The keys that tokens are signed with.

use bytes::Bytes;
use serde::Deserialize;

use super::{Call, read};
use crate::identity::OldKeys;
use crate::pipeline::Problem;

/// How the keys are rotated.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rotation {
    /// After a leak: every token that was ever made here is worth nothing from now on, the caller's own included.
    drop_old: bool,
}

pub async fn rotate(call: Call, body: Bytes) -> Result<(), Problem> {
    let Rotation { drop_old } = read(&body)?;
    let (old, activity) = match drop_old {
        true => (OldKeys::Drop, "Replace signing keys"),
        false => (OldKeys::Retire, "Rotate signing key"),
    };
    call.app.identity.rotate_keys(old).await?;
    Ok(call.write_audit(activity, "SigningKey", "").await?)
}
