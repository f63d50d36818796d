//! Deployment results: one row per deployment, clustered in the order in which they are served (partner, number).

use cloudpc_model::{ActionId, ActivityId, Failure, PartnerId, State, TenantId, Timestamp};

use crate::{Reader, StoreError};

/// What a deployment has come to so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The action that carries it out.
    pub action_id: ActionId,
    /// The call that started it.
    pub activity_id: ActivityId,
    /// The Cloud PC as the caller named it.
    pub target: String,
    /// Where the action stands.
    pub state: State,
    /// Whether it is first in its machine's line.
    pub at_front: bool,
    /// The step begun last.
    pub step: Option<String>,
    /// Why it did not end well.
    pub failure: Option<Failure>,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// Latest change.
    pub modified_at: Timestamp,
}

/// Which results to list. Texts are compared as they are, ignoring the case of ASCII letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentFilter {
    /// Of one activity.
    pub activity: Option<String>,
    /// Of one Cloud PC.
    pub target: Option<String>,
}

impl Reader<'_> {
    /// Results of a partner in the order in which they were asked for: those numbered above `after` and up to `until`.
    pub fn deployment_list(
        &self,
        _tenant: TenantId,
        _partner: PartnerId,
        _filter: &DeploymentFilter,
        _after: ActionId,
        _until: ActionId,
        _limit: usize,
    ) -> Result<Vec<Deployment>, StoreError> {
        unimplemented!()
    }

    /// How many `deployment_list` would list in all.
    pub fn deployment_count(
        &self,
        _tenant: TenantId,
        _partner: PartnerId,
        _filter: &DeploymentFilter,
    ) -> Result<u64, StoreError> {
        unimplemented!()
    }

    /// The highest number that a deployment of this partner has now; zero if it has none.
    pub fn deployment_latest(&self, _tenant: TenantId, _partner: PartnerId) -> Result<ActionId, StoreError> {
        unimplemented!()
    }
}
