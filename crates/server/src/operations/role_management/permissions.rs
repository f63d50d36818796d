//! `…/virtualEndpoint/getEffectivePermissions()` and `retrieveScopedPermissions()`: what the caller
//! may do.

use cloudpc_store::Reader;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem, list};
use crate::rbac::{ALL_TAGS, EffectivePermissions, ScopeTags};

/// The name that stands for every resource action.
const EVERYTHING: &str = "*";

pub async fn effective(call: Arc<Call>) -> Result<Answer, Problem> {
    let names = match permissions(&call).await? {
        EffectivePermissions::All => vec![EVERYTHING.to_owned()],
        EffectivePermissions::Granted(granted) => granted.into_keys().collect(),
    };
    list::in_memory(&call, names).await
}

pub async fn scoped(call: Arc<Call>) -> Result<Answer, Problem> {
    let granted = match permissions(&call).await? {
        EffectivePermissions::All => vec![(EVERYTHING.to_owned(), ScopeTags::All)],
        EffectivePermissions::Granted(granted) => granted.into_iter().collect(),
    };
    let rows = granted.iter().map(|(name, tags)| scoped_permission(name, tags)).collect();
    list::in_memory(&call, rows).await
}

/// `cloudPcScopedPermission`
fn scoped_permission(name: &str, tags: &ScopeTags) -> Value {
    let ids = match tags {
        ScopeTags::All => vec![ALL_TAGS],
        ScopeTags::Only(tags) => tags.iter().map(String::as_str).collect(),
    };
    json!({ "permission": name, "scopeIds": ids })
}

async fn permissions(call: &Arc<Call>) -> Result<EffectivePermissions, Problem> {
    let caller = Arc::clone(&call.caller);
    Ok(call.store().read(move |reader: &Reader<'_>| EffectivePermissions::of(reader, &caller)).await?)
}
