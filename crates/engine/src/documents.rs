//! Accepting actions on documents: a write to a document and the action that follows from it are
//! one commit.

use cloudpc_model::{ActionId, Document, Params, Timestamp};
use cloudpc_store::{StoreError, Tx};
use std::sync::Arc;

use crate::Engine;
use crate::actions::recipe;
use crate::ledger::{self, RequestContext};

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
        let time_max = recipe(params.kind()).time_max;
        ledger::accept_on_document(tx, asked, document, params, time_max, now)
    }
}
