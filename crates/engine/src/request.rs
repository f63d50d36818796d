//! Taking requests: admission, the action row, its first event and the audit row in one transaction.

use cloudpc_model::{ActionId, ActivityId, Actor, CloudPcId, Error, Params, PartnerId, TenantId};

use crate::Engine;

/// Who asks, and by which request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The tenant of the caller.
    pub tenant_id: TenantId,
    /// The caller.
    pub by: Actor,
    /// The request, for the audit log.
    pub request_id: String,
}

/// What a call to deploy started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The activity over all of them.
    pub activity_id: ActivityId,
}

impl Engine {
    /// Asks for a remote action on a Cloud PC. When this returns, the action is on disk.
    ///
    /// # Errors
    /// Not found; conflict (`remoteActionInProgress` naming the open action, `cloudPcStatusNotAllowed`); invalid (an unknown service plan or restore point).
    pub async fn request(&self, _asked: &Asked, _cloud_pc: CloudPcId, _params: Params) -> Result<ActionId, Error> {
        unimplemented!()
    }

    /// Deploys a partner's agent to Cloud PCs as named by the caller (1 to 50; duplicates count once). Writes one action, result row and report per name.
    ///
    /// # Errors
    /// Not found (partner); conflict (connection disabled `partnerConnectionDisabled`, no agent configured `agentNotConfigured`).
    pub async fn deploy(&self, _asked: &Asked, _partner: PartnerId, _targets: Vec<String>) -> Result<Deployed, Error> {
        unimplemented!()
    }

    /// Asks to cancel an action: at once if it waits, between or during steps if it runs.
    ///
    /// # Errors
    /// Not found; conflict (`tooLateToCancel`: it has ended or is past its point of no return).
    pub async fn cancel(&self, _asked: &Asked, _action: ActionId) -> Result<(), Error> {
        unimplemented!()
    }

    /// Asks to cancel every deployment of an activity that can still be canceled; returns how many.
    ///
    /// # Errors
    /// Not found; conflict if none could be.
    pub async fn cancel_activity(&self, _asked: &Asked, _activity: ActivityId) -> Result<u64, Error> {
        unimplemented!()
    }

    /// Settles a stuck action after a person has put the machine right: it ends as failed and frees the machine.
    ///
    /// # Errors
    /// Not found; conflict unless it is stuck.
    pub async fn settle(&self, _asked: &Asked, _action: ActionId) -> Result<(), Error> {
        unimplemented!()
    }
}
