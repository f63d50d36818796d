//! `POST …/cloudPCs/validateBulkResize`

use cloudpc_engine::check_resize;
use cloudpc_graph::GraphError;
use cloudpc_model::{Admission, CloudPcId, Denial, ErrorKind, Kind, ServicePlanId, admit};
use cloudpc_store::Reader;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

use crate::pipeline::list::in_memory;
use crate::pipeline::{Answer, Call, Problem, required};

/// Most Cloud PCs in one request.
pub const VALIDATE_CLOUD_PC_IDS_MAX: usize = 2_000;

/// `cloudPcResizeValidationResult`
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ValidationResult {
    cloud_pc_id: String,
    validation_result: &'static str,
}

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (ids, target) = (ids(&call)?, super::target_service_plan(&call)?);
    let request = call.clone();
    let validate = move |reader: &Reader<'_>| {
        if reader.service_plan(request.tenant(), target)?.is_none() {
            let message = format!("There is no service plan '{target}'. Choose one from the list of service plans.");
            return Err(Problem::from(GraphError::bad_request(message).about("targetServicePlanId")));
        }
        let owner = super::owner(&request, reader)?;
        let result = |id: String| {
            let validation_result = validate(&request, reader, owner, &id, target)?;
            Ok(ValidationResult { cloud_pc_id: id, validation_result })
        };
        ids.into_iter().map(result).collect::<Result<Vec<_>, Problem>>()
    };
    let results = call.store().read(validate).await?;
    in_memory(&call, results).await
}

fn ids(call: &Call) -> Result<Vec<String>, GraphError> {
    const NAME: &str = "cloudPcIds";
    let given = call.body.get(NAME).and_then(Value::as_array).ok_or_else(|| required(NAME))?;
    if given.is_empty() || given.len() > VALIDATE_CLOUD_PC_IDS_MAX {
        let message =
            format!("A request takes 1 to {VALIDATE_CLOUD_PC_IDS_MAX} Cloud PC ids; this one has {}.", given.len());
        return Err(GraphError::bad_request(message).about(NAME));
    }
    Ok(given.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Returns what a resize of one Cloud PC would be answered with now.
fn validate(
    call: &Call,
    reader: &Reader<'_>,
    owner: Option<cloudpc_model::UserId>,
    id: &str,
    target: ServicePlanId,
) -> Result<&'static str, Problem> {
    let found = match id.parse::<CloudPcId>() {
        Ok(id) => super::find_reached(call, reader, id)?,
        Err(_) => None,
    };
    let Some(cloud_pc) = found.filter(|cloud_pc| owner.is_none_or(|owner| cloud_pc.user_id == Some(owner))) else {
        return Ok("cloudPcNotFound");
    };
    let open = reader.action_open_remote(call.tenant(), &cloud_pc.id.to_string())?;
    if let Admission::Deny(denial) = admit(Kind::Resize, cloud_pc.status, open) {
        return Ok(match denial {
            Denial::RemoteActionInProgress(_) => "operationConflict",
            Denial::Status { .. } => "operationNotSupported",
        });
    }
    if cloud_pc.service_plan_id == target {
        return Ok("targetLicenseHasAssigned");
    }
    match check_resize(reader, &cloud_pc, target) {
        Ok(()) => Ok("success"),
        Err(error) if error.kind == ErrorKind::Invalid => Ok("operationNotSupported"),
        Err(error) => Err(error.into()),
    }
}
