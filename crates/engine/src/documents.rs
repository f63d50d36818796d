//! Accepting actions on documents: a write to a document and the action that follows from it are
//! one commit.

use cloudpc_model::{ActionId, Document, Params, Timestamp};
use cloudpc_store::{NewAction, StoreError, Tx};
use std::sync::Arc;

use crate::Engine;
use crate::actions::recipe;
use crate::ledger::{RequestContext, audit};

impl Engine {
    /// Accepts an action on a document in the caller's transaction, with its audit row.
    ///
    /// # Errors
    /// The store fails.
    pub fn accept_on_document(
        &self,
        tx: &mut Tx<'_>,
        asked: &RequestContext,
        document: &Document,
        params: Params,
        now: Timestamp,
    ) -> Result<ActionId, StoreError> {
        let work = Arc::clone(&self.work);
        tx.after_commit(move || work.wake.notify_one());
        accept(tx, asked, document, params, now)
    }
}

/// Accepts an action on a document, with its audit row.
pub(crate) fn accept(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    document: &Document,
    params: Params,
    now: Timestamp,
) -> Result<ActionId, StoreError> {
    let kind = params.kind();
    let action = tx.action_insert(&NewAction {
        tenant_id: document.tenant_id,
        target: document.key.id.clone(),
        params,
        requested_by: asked.by.clone(),
        requested_at: now,
        deadline_at: now + recipe(kind).time_max,
        // These actions mark nothing on machines, so nothing has to be told apart by the nonce.
        tag_nonce: 0,
        idempotency_key: None,
    })?;
    let entry = audit::asked_for(asked, now, kind, audit::document(document)).detail("actionId", &action.to_string());
    tx.audit_insert(&entry)?;
    Ok(action)
}
