//! Remote sessions that are stated for simulated machines, to which nobody connects: reports of
//! connections read them.

use bytes::Bytes;
use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, CloudPc, CloudPcId, Error, RemoteSession, ResourceType, UserId};
use serde::Deserialize;
use serde_json::json;

use super::clock::duration;
use super::{AdminCall, AdminReply, read};
use crate::pipeline::{Problem, check_chars};

/// Greatest measurement of a stated session.
pub const MEASUREMENT_MAX: i64 = 1_000_000_000;
/// Length limit of the user of a stated session, in characters.
pub const SESSION_USER_CHARS_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SessionRequest {
    cloud_pc_id: CloudPcId,
    /// How long ago it began; just now if absent.
    began: Option<String>,
    /// How long it lasted; it is still open if absent.
    lasted: Option<String>,
    /// The assigned user if absent.
    user_principal_name: Option<String>,
    round_trip_time_in_ms: Option<i64>,
    #[serde(rename = "availableBandwidthInKBps")]
    available_bandwidth_in_k_bps: Option<i64>,
    remote_sign_in_time_in_ms: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EndRequest {
    cloud_pc_id: CloudPcId,
}

pub async fn create(call: AdminCall, body: Bytes) -> Result<AdminReply, Problem> {
    call.simulation()?;
    let request: SessionRequest = read(&body)?;
    let cloud_pc = find(&call, request.cloud_pc_id).await?;
    let user = user_to_connect(&call, &request, &cloud_pc).await?;
    let session = stated(&call, &request, &cloud_pc)?;
    let entry = call.audit(AuditVerb::Inject, ResourceType::CloudPc, cloud_pc.id);
    let entry = entry.detail("session", if session.signed_out_at.is_some() { "ended" } else { "open" });
    let (tenant, id) = (cloud_pc.tenant_id, cloud_pc.id);
    let id = call.app.engine.begin_session(tenant, id, user, session, Some(entry)).await?;
    Ok(AdminReply::Created(json!({ "id": id })))
}

pub async fn end(call: AdminCall, body: Bytes) -> Result<(), Problem> {
    call.simulation()?;
    let EndRequest { cloud_pc_id } = read(&body)?;
    let cloud_pc = find(&call, cloud_pc_id).await?;
    let name = cloud_pc.display_name.clone();
    let entry = call.audit(AuditVerb::Inject, ResourceType::CloudPc, cloud_pc.id);
    let entry = entry.detail("session", "ended");
    match call.app.engine.sign_out(cloud_pc.tenant_id, cloud_pc.id, entry).await.map_err(Error::from)? {
        0 => Err(GraphError::bad_request(format!("'{name}' has no open session.")).about("cloudPcId").into()),
        _ => Ok(()),
    }
}

/// Returns the user that a session which is still open connects to a shared Cloud PC.
async fn user_to_connect(
    call: &AdminCall,
    request: &SessionRequest,
    cloud_pc: &CloudPc,
) -> Result<Option<UserId>, Problem> {
    const NAME: &str = "userPrincipalName";
    if !cloud_pc.is_shared() || request.lasted.is_some() {
        return Ok(None);
    }
    let Some(name) = request.user_principal_name.clone().filter(|name| !name.is_empty()) else {
        let message = format!("A shared Cloud PC has no user of its own. State '{NAME}'.");
        return Err(GraphError::bad_request(message).about(NAME).into());
    };
    let (tenant, wanted) = (call.caller.tenant_id, name.clone());
    let found = call.app.store.read(move |reader| reader.user_by_name(tenant, &wanted)).await.map_err(Error::from)?;
    let missing = || GraphError::bad_request(format!("The tenant has no user '{name}'.")).about(NAME);
    Ok(Some(found.ok_or_else(missing)?.id))
}

async fn find(call: &AdminCall, id: CloudPcId) -> Result<CloudPc, Problem> {
    let tenant = call.caller.tenant_id;
    let found = call.app.store.read(move |reader| reader.cloud_pc(tenant, id)).await.map_err(Error::from)?;
    found.ok_or_else(|| Problem::not_found("Cloud PC", &id.to_string()))
}

/// Returns the session that a request states.
fn stated(call: &AdminCall, request: &SessionRequest, cloud_pc: &CloudPc) -> Result<RemoteSession, GraphError> {
    let began = request.began.as_deref().map(|text| duration("began", text)).transpose()?.unwrap_or_default();
    let lasted = request.lasted.as_deref().map(|text| duration("lasted", text)).transpose()?;
    if let Some(lasted) = lasted.filter(|lasted| *lasted > began) {
        let (began, lasted) = (began.as_secs(), lasted.as_secs());
        let message = format!("A session that began {began} seconds ago cannot have lasted {lasted} seconds.");
        return Err(GraphError::bad_request(message).about("lasted"));
    }
    let measured = [
        ("roundTripTimeInMs", request.round_trip_time_in_ms),
        ("availableBandwidthInKBps", request.available_bandwidth_in_k_bps),
        ("remoteSignInTimeInMs", request.remote_sign_in_time_in_ms),
    ];
    for (name, value) in measured {
        if let Some(value) = value.filter(|value| !(0..=MEASUREMENT_MAX).contains(value)) {
            let message = format!("'{name}' is {value}; it is from 0 to {MEASUREMENT_MAX}.");
            return Err(GraphError::bad_request(message).about(name));
        }
    }
    let user = request.user_principal_name.as_deref().unwrap_or(&cloud_pc.user_principal_name);
    check_chars("userPrincipalName", user, SESSION_USER_CHARS_MAX)?;
    let signed_in_at = call.app.clock.now() - began;
    Ok(RemoteSession {
        id: 0,
        user_principal_name: user.to_owned(),
        signed_in_at,
        signed_out_at: lasted.map(|lasted| signed_in_at + lasted),
        seen_at: None,
        round_trip_ms: request.round_trip_time_in_ms,
        bandwidth_kbps: request.available_bandwidth_in_k_bps,
        sign_in_ms: request.remote_sign_in_time_in_ms,
    })
}
