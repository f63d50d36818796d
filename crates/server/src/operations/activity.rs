//! Operations on activities, the deployments of one `deployAgent` call: an extension of Graph, in
//! the namespace `cloudpc`.

pub(super) mod actions;
pub(super) mod cancel;

use cloudpc_model::{ActionId, ActivityId, PartnerId};
use cloudpc_store::{DeploymentFilter, Reader};

use super::partner;
use crate::pipeline::{Call, Problem};

/// Returns the activity in the path. Returns 404 if it belongs to another partner than the path's.
fn find(call: &Call, reader: &Reader<'_>) -> Result<(PartnerId, ActivityId), Problem> {
    let partner = partner::find(call, reader)?.id;
    let activity: ActivityId = call.id(1, "activity")?;
    let rows = reader.deployment_list(call.tenant(), partner, &filter(activity), ActionId(0), ActionId(i64::MAX), 1)?;
    if rows.is_empty() {
        return Err(Problem::not_found("activity", call.key(1)));
    }
    Ok((partner, activity))
}

fn filter(activity: ActivityId) -> DeploymentFilter {
    DeploymentFilter { activity: Some(activity.to_string()), target: None }
}
