//! `cloudPcRemoteActionResult` and `cloudPcRemoteActionCapability`.

use cloudpc_model::{Action, CloudPc, CloudPcId, Kind, ManagedDeviceId, State};
use serde::Serialize;

use super::{Detail, Shown, Time, late_member};

/// `cloudPcRemoteActionResult`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteActionResult<'a> {
    action_name: &'static str,
    action_state: &'static str,
    start_date_time: Time,
    last_updated_date_time: Time,
    cloud_pc_id: Shown<CloudPcId>,
    managed_device_id: Shown<ManagedDeviceId>,
    status_detail: Option<Detail<'a>>,
    status_details: Option<Detail<'a>>,
}

/// Returns the result of a remote action.
pub fn result<'a>(action: &'a Action, cloud_pc: &CloudPc) -> RemoteActionResult<'a> {
    let detail = action.failure().map(|failure| Detail::new(&failure.code, &failure.message));
    RemoteActionResult {
        action_name: name(action.kind()),
        action_state: state(action.state),
        start_date_time: Time(action.requested_at),
        last_updated_date_time: Time(action.updated_at),
        cloud_pc_id: Shown(cloud_pc.id),
        managed_device_id: Shown(cloud_pc.managed_device_id),
        status_detail: detail,
        status_details: detail,
    }
}

/// `cloudPcRemoteActionCapability`
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capability {
    action_name: &'static str,
    action_capability: &'static str,
}

/// Returns whether a remote action can be requested now.
pub fn capability(kind: Kind, enabled: bool, unknown_enum_members: bool) -> Capability {
    let late_name = |name| late_member(name, unknown_enum_members);
    let action_name = match kind {
        Kind::Reboot => "restart",
        Kind::Rename => "rename",
        Kind::Resize => "resize",
        Kind::Restore => "restore",
        Kind::Reprovision => "reprovision",
        Kind::Troubleshoot => "troubleshoot",
        Kind::ChangeUserAccountType => "changeUserAccountType",
        Kind::PlaceUnderReview => "placeUnderReview",
        Kind::CreateSnapshot => late_name("createSnapshot"),
        Kind::PowerOn => late_name("powerOn"),
        Kind::PowerOff => late_name("powerOff"),
        // Graph's enumeration has no member for these kinds, so capabilities omit them.
        Kind::Undo
        | Kind::SetDeviceName
        | Kind::DeployAgent
        | Kind::Provision
        | Kind::Prepare
        | Kind::Deprovision
        | Kind::ApplyPolicy
        | Kind::TakeRestorePoint
        | Kind::DropRestorePoint
        | Kind::ImportImage
        | Kind::RemoveImage
        | Kind::CheckConnection => "unknown",
    };
    Capability { action_name, action_capability: if enabled { "enabled" } else { "disabled" } }
}

/// Returns `actionName`, a string spelled as in Graph's samples.
pub(crate) fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Reprovision => "Reprovision",
        Kind::Resize => "Resize",
        Kind::Restore => "Restore",
        Kind::Undo => "Undo",
        Kind::Rename => "Rename",
        Kind::Reboot => "Reboot",
        Kind::PowerOn => "CloudPcPowerOn",
        Kind::PowerOff => "CloudPcPowerOff",
        Kind::CreateSnapshot => "CreateSnapshot",
        Kind::Troubleshoot => "Troubleshoot",
        Kind::ChangeUserAccountType => "ChangeUserAccountType",
        Kind::SetDeviceName => "SetDeviceName",
        Kind::PlaceUnderReview => "PlaceUnderReview",
        Kind::TakeRestorePoint => "TakeRestorePoint",
        Kind::DropRestorePoint => "DropRestorePoint",
        Kind::DeployAgent => "DeployAgent",
        Kind::Provision => "Provision",
        Kind::Prepare => "Prepare",
        Kind::Deprovision => "Deprovision",
        Kind::ApplyPolicy => "ApplyPolicy",
        Kind::ImportImage => "ImportImage",
        Kind::RemoveImage => "RemoveImage",
        Kind::CheckConnection => "CheckConnection",
    }
}

/// Returns `actionState`.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Running | State::Undoing | State::Stuck => "active",
        State::Done => "done",
        State::Failed => "failed",
        State::Canceled => "canceled",
        State::NotSupported => "notSupported",
    }
}
