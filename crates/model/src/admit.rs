//! Admission control of actions, as a pure function.

use crate::{Action, CloudPcStatus, Kind};

/// The decision on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The request is accepted.
    Accept,
    /// The request is refused.
    Deny(Denial),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Another remote action is in progress on the machine.
    #[error("A {kind} is already {state} on this Cloud PC (action {action}). Wait for its result or cancel it, then retry.", kind = .0.kind().name(), state = <&'static str>::from(.0.state), action = .0.id)]
    RemoteActionInProgress(Box<Action>),
    /// The status of the Cloud PC does not allow the action.
    #[error("The action '{kind}' is not allowed while the Cloud PC's status is '{status}'.", status = <&'static str>::from(*.status), kind = .kind.name())]
    Status {
        /// Current status.
        status: CloudPcStatus,
        /// Requested kind of action.
        kind: Kind,
    },
}

/// Decides on an action. Actions that are not remote actions are always accepted, because they
/// wait in the machine's line: deployments check the machine when they run, and only the service
/// itself requests provisioning, deprovisioning and the changes that a policy asks for.
pub fn admit(kind: Kind, status: CloudPcStatus, open_remote_action: Option<Action>) -> Admission {
    if !kind.is_remote_action() {
        return Admission::Accept;
    }
    if let Some(open) = open_remote_action {
        return Admission::Deny(Denial::RemoteActionInProgress(Box::new(open)));
    }
    if allows(status, kind) { Admission::Accept } else { Admission::Deny(Denial::Status { status, kind }) }
}

/// Whether a status allows an action. Microsoft's table is not public; this follows its pages on
/// reprovisioning, grace period and resizing.
fn allows(status: CloudPcStatus, kind: Kind) -> bool {
    match status {
        CloudPcStatus::Provisioned | CloudPcStatus::ProvisionedWithWarnings => true,
        CloudPcStatus::Failed => matches!(kind, Kind::Reprovision | Kind::Undo | Kind::Troubleshoot),
        CloudPcStatus::InGracePeriod => {
            matches!(kind, Kind::Reboot | Kind::Rename | Kind::Troubleshoot | Kind::PlaceUnderReview)
        }
        CloudPcStatus::NotProvisioned
        | CloudPcStatus::Provisioning
        | CloudPcStatus::Deprovisioning
        | CloudPcStatus::Resizing
        | CloudPcStatus::Restoring
        | CloudPcStatus::PendingProvision
        | CloudPcStatus::ResizePendingLicense
        | CloudPcStatus::MovingRegion
        | CloudPcStatus::ModifyingSingleSignOn
        | CloudPcStatus::RefreshPolicyConfiguration
        | CloudPcStatus::Preparing => false,
    }
}
