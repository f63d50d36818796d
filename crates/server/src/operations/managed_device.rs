//! Operations on managed devices: Cloud PCs as Graph's device management presents them.

pub(super) mod bulk_reprovision;
pub(super) mod bulk_restore;
pub(super) mod bulk_set_review_status;
pub(super) mod count;
pub(super) mod get;
pub(super) mod list;
pub(super) mod reprovision;
pub(super) mod resize;
pub(super) mod restore;
pub(super) mod results;
pub(super) mod review_status;
pub(super) mod set_device_name;
pub(super) mod set_review_status;
pub(super) mod sync_device;

use cloudpc_graph::GraphError;
use cloudpc_model::{BulkItemState, BulkRequest, CloudPc, CloudPcId, ManagedDeviceId, Params};
use cloudpc_store::Reader;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

use super::cloud_pc::check_user_access;
use crate::pipeline::{Answer, Call, Problem, required};

/// Most managed devices in one request.
pub const MANAGED_DEVICE_IDS_MAX: usize = 500;

/// Returns the Cloud PC of the managed device in the path, if the caller's scope tags reach it.
fn find(call: &Call, reader: &Reader<'_>) -> Result<CloudPc, Problem> {
    let id: ManagedDeviceId = call.id(0, "managed device")?;
    let missing = || Problem::not_found("managed device", call.key(0));
    let found = reader.cloud_pc_by_managed_device(call.tenant(), id)?.ok_or_else(missing)?;
    if call.scope_tags.reaches_cloud_pc(reader, &found)? { Ok(found) } else { Err(missing()) }
}

/// Like [`find`], for what the user of a Cloud PC under review may not do.
fn find_to_use(call: &Call, reader: &Reader<'_>) -> Result<CloudPc, Problem> {
    let cloud_pc = find(call, reader)?;
    check_user_access(call, reader, &cloud_pc)?;
    Ok(cloud_pc)
}

/// Requests a remote action on the Cloud PC. A missing device is reported before an invalid body.
async fn request_action(
    call: Arc<Call>,
    params: impl Fn(&Call) -> Result<Params, Problem> + Send + 'static,
) -> Result<Answer, Problem> {
    let (context, engine) = (call.request_context(), call.app.engine.clone());
    engine
        .request_found(&context, move |reader| {
            let cloud_pc = find_to_use(&call, reader)?;
            Ok::<_, Problem>((cloud_pc, params(&call)?))
        })
        .await?;
    Ok(Answer::NoContent)
}

/// `cloudPcBulkRemoteActionResult`
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct BulkResult {
    successful_device_ids: Vec<String>,
    failed_device_ids: Vec<String>,
    not_found_device_ids: Vec<String>,
    not_supported_device_ids: Vec<String>,
}

/// Requests the same of the Cloud PCs of all devices in the body, and tells which requests were
/// accepted.
async fn request_each(call: Arc<Call>, wanted: BulkRequest) -> Result<Answer, Problem> {
    let (ids, tenant, tags) = (device_ids(&call)?, call.tenant(), call.scope_tags.clone());
    let find = move |reader: &Reader<'_>| {
        let find = |id: String| {
            let found = match id.parse::<ManagedDeviceId>() {
                Ok(device) => reader.cloud_pc_by_managed_device(tenant, device)?,
                Err(_) => None,
            };
            let reached = match found {
                Some(cloud_pc) if tags.reaches_cloud_pc(reader, &cloud_pc)? => Some(cloud_pc.id),
                _ => None,
            };
            Ok((id, reached))
        };
        ids.into_iter().map(find).collect::<Result<Vec<(String, Option<CloudPcId>)>, Problem>>()
    };
    let devices = call.store().read(find).await?;
    let cloud_pcs: Vec<_> = devices.iter().filter_map(|(_, cloud_pc)| *cloud_pc).collect();
    let read = move |reader: &Reader<'_>| {
        let mut found = Vec::with_capacity(cloud_pcs.len());
        for id in &cloud_pcs {
            found.extend(reader.cloud_pc(tenant, *id)?);
        }
        Ok::<_, Problem>(found)
    };
    let begun = call.app.engine.request_each(&call.request_context(), wanted, read).await?;
    let mut result = BulkResult::default();
    for (device, cloud_pc) in devices {
        let state = begun.iter().find(|(id, _)| Some(*id) == cloud_pc).map(|(_, state)| *state);
        let ids = match state {
            None => &mut result.not_found_device_ids,
            Some(BulkItemState::NotSupported) => &mut result.not_supported_device_ids,
            Some(BulkItemState::Failed) => &mut result.failed_device_ids,
            Some(BulkItemState::Pending | BulkItemState::InProgress | BulkItemState::Succeeded) => {
                &mut result.successful_device_ids
            }
        };
        ids.push(device);
    }
    Ok(call.entity(&result))
}

/// Returns `managedDeviceIds` of the body; duplicates count once.
fn device_ids(call: &Call) -> Result<Vec<String>, GraphError> {
    const NAME: &str = "managedDeviceIds";
    let given = call.body.get(NAME).and_then(Value::as_array).ok_or_else(|| required(NAME))?;
    if given.is_empty() || given.len() > MANAGED_DEVICE_IDS_MAX {
        let message =
            format!("A request takes 1 to {MANAGED_DEVICE_IDS_MAX} managed device ids; this one has {}.", given.len());
        return Err(GraphError::bad_request(message).about(NAME));
    }
    let mut ids: Vec<String> = Vec::with_capacity(given.len());
    for id in given.iter().filter_map(Value::as_str) {
        if !ids.iter().any(|known| known.eq_ignore_ascii_case(id)) {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}
