//! Whether a request for an action may be accepted now. Pure: the caller has looked everything up.

use crate::{Action, CloudPcStatus, Kind};

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Take it.
    Accept,
    /// Refuse it.
    Deny(Denial),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Another remote action is open on the machine.
    #[error("A {kind} is already {state} on this Cloud PC (action {action}). Wait for its result or cancel it, then ask again.", kind = .0.kind().name(), state = <&'static str>::from(.0.state), action = .0.id)]
    RemoteActionInProgress(Box<Action>),
    /// The Cloud PC is in a status in which this cannot be done.
    #[error("A Cloud PC whose status is '{status}' does not take the action '{kind}'.", status = <&'static str>::from(*.status), kind = .kind.name())]
    Status {
        /// Its status.
        status: CloudPcStatus,
        /// What was asked for.
        kind: Kind,
    },
}

/// Decides on a remote action. Deployments are never refused here: they wait in line and look at the machine when their turn comes.
pub fn admit(kind: Kind, status: CloudPcStatus, open_remote_action: Option<Action>) -> Admission {
    if !kind.is_remote_action() {
        return Admission::Accept;
    }
    if let Some(open) = open_remote_action {
        return Admission::Deny(Denial::RemoteActionInProgress(Box::new(open)));
    }
    if allows(status, kind) { Admission::Accept } else { Admission::Deny(Denial::Status { status, kind }) }
}

/// Which action a status allows. The real service's table is not public; this is the reading of "Windows 365: reprovision, grace period, resize".
fn allows(status: CloudPcStatus, kind: Kind) -> bool {
    match status {
        CloudPcStatus::Provisioned | CloudPcStatus::ProvisionedWithWarnings => true,
        CloudPcStatus::Failed => matches!(kind, Kind::Reprovision | Kind::Undo | Kind::Troubleshoot),
        CloudPcStatus::InGracePeriod => matches!(kind, Kind::Reboot | Kind::Rename | Kind::Troubleshoot),
        CloudPcStatus::NotProvisioned
        | CloudPcStatus::Provisioning
        | CloudPcStatus::Deprovisioning
        | CloudPcStatus::Resizing
        | CloudPcStatus::Restoring => false,
    }
}
