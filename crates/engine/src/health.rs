//! Health policy: what an observation of a machine means for its Cloud PC, as a pure function.
//!
//! A machine that is off unintentionally is restarted, with exponential backoff and a limit. A
//! machine that was shut down from inside stays off, as its user intended. The Cloud PC's status
//! detail reports a problem until it is resolved; details with other codes are left alone.

use cloudpc_drivers::{MachineCondition, Observed};
use cloudpc_model::{
    Admission, CloudPc, CloudPcStatus, HealthCheck, HealthEvent, Kind, Power, StatusDetail, Timestamp, admit,
};
use std::time::Duration;

/// Automatic restart of machines that crashed or panicked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RestartPolicy {
    /// No automatic restart.
    Never,
    /// Automatic restart, at most [`RESTARTS_MAX`] times until the machine has been healthy for
    /// [`WELL_TIME`].
    #[default]
    OnFailure,
}

/// Most automatic restarts of a machine that does not stay healthy.
pub const RESTARTS_MAX: u32 = 5;

/// Time after which a healthy machine's restart count is reset.
pub const WELL_TIME: Duration = Duration::from_secs(3600);

/// Delay before the first automatic restart; doubles with each further restart.
pub const RESTART_PAUSE_MIN: Duration = Duration::from_secs(10);

/// Result of a health check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Finding, if it differs from the previous one.
    pub event: Option<HealthEvent>,
    pub next: Remedy,
}

/// Follow-up of a health check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    Nothing,
    CheckAgain(Timestamp),
    PowerOn,
}

/// Texts that report a condition.
struct HealthMessage {
    code: &'static str,
    check: &'static str,
    message: &'static str,
}

fn health_message(condition: MachineCondition) -> HealthMessage {
    let (code, check, message) = match condition {
        MachineCondition::Crashed => ("machineCrashed", "PowerCheck", "The machine crashed and is off."),
        MachineCondition::Panicked => ("guestPanicked", "PowerCheck", "The guest kernel panicked; the machine is off."),
        MachineCondition::ShutDown => {
            ("guestShutDown", "PowerCheck", "The machine was shut down from inside and stays off.")
        }
        MachineCondition::HostDiskFull => (
            "hostDiskFull",
            "HostDiskCheck",
            "The machine is paused because the host's disk is full. It resumes when there is free space.",
        ),
        MachineCondition::GuestSilent => ("guestSilent", "AgentCheck", "The guest agent has stopped responding."),
    };
    HealthMessage { code, check, message }
}

/// Returns the message that a status detail came from; none if the detail has another origin.
fn own_message(detail: &StatusDetail) -> Option<HealthMessage> {
    let all = [
        MachineCondition::Crashed,
        MachineCondition::Panicked,
        MachineCondition::HostDiskFull,
        MachineCondition::GuestSilent,
    ];
    all.into_iter().map(health_message).find(|health_message| health_message.code == detail.code)
}

/// Updates the Cloud PC and the check from an observation, and returns the event and follow-up.
pub(crate) fn judge(
    cloud_pc: &mut CloudPc,
    check: &mut HealthCheck,
    observed: &Observed,
    restart: RestartPolicy,
    now: Timestamp,
) -> Verdict {
    let was_running = cloud_pc.power_observed == Power::Running;
    cloud_pc.power_observed = observed.power;
    let should_run = cloud_pc.power_intended != Power::PoweredOff;
    match observed.condition {
        None => healthy(cloud_pc, check, now),
        Some(MachineCondition::ShutDown) => {
            clear(cloud_pc);
            cloud_pc.power_intended = Power::PoweredOff;
            let event = should_run.then(|| event(&health_message(MachineCondition::ShutDown), true, now));
            Verdict { event, next: Remedy::Nothing }
        }
        Some(MachineCondition::Crashed | MachineCondition::Panicked) if !should_run => healthy(cloud_pc, check, now),
        Some(condition @ (MachineCondition::Crashed | MachineCondition::Panicked)) => {
            check.forget_at = None;
            let (mut health_message, next) =
                (health_message(condition), restart_or_wait(cloud_pc, check, restart, now));
            let gave_up = next == Remedy::Nothing && check.restarts >= RESTARTS_MAX;
            if gave_up {
                health_message.message = "The machine is off. Automatic restarts have stopped after repeated failures.";
            }
            let is_new = report(cloud_pc, &health_message) || was_running || gave_up;
            Verdict { event: is_new.then(|| event(&health_message, false, now)), next }
        }
        Some(condition @ (MachineCondition::HostDiskFull | MachineCondition::GuestSilent)) => {
            // The driver reports when the condition ends.
            let health_message = health_message(condition);
            let event = report(cloud_pc, &health_message).then(|| event(&health_message, false, now));
            Verdict { event, next: Remedy::Nothing }
        }
    }
}

fn healthy(cloud_pc: &mut CloudPc, check: &mut HealthCheck, now: Timestamp) -> Verdict {
    check.restart_at = None;
    let event = clear(cloud_pc).map(|mut health_message| {
        health_message.message = "The machine is healthy again.";
        event(&health_message, true, now)
    });
    let next = match check.restarts {
        0 => Remedy::Nothing,
        _ => match *check.forget_at.get_or_insert(now + WELL_TIME) {
            forget_at if forget_at <= now => Remedy::Nothing,
            forget_at => Remedy::CheckAgain(forget_at),
        },
    };
    Verdict { event, next }
}

/// Decides whether and when to restart a machine that is off unintentionally.
fn restart_or_wait(cloud_pc: &CloudPc, check: &mut HealthCheck, restart: RestartPolicy, now: Timestamp) -> Remedy {
    let admitted = admit(Kind::PowerOn, cloud_pc.status, None) == Admission::Accept;
    if restart == RestartPolicy::Never || !admitted || check.restarts >= RESTARTS_MAX {
        return Remedy::Nothing;
    }
    let pause = RESTART_PAUSE_MIN * 2u32.pow(check.restarts);
    match *check.restart_at.get_or_insert(now + pause) {
        restart_at if restart_at <= now => {
            check.restart_at = None;
            check.restarts += 1;
            Remedy::PowerOn
        }
        restart_at => Remedy::CheckAgain(restart_at),
    }
}

/// Writes a problem into the Cloud PC's status detail, if that is free; returns whether the problem
/// is new.
fn report(cloud_pc: &mut CloudPc, health_message: &HealthMessage) -> bool {
    let free = cloud_pc.status_detail.as_ref().is_none_or(|detail| own_message(detail).is_some());
    let usable = matches!(cloud_pc.status, CloudPcStatus::Provisioned | CloudPcStatus::ProvisionedWithWarnings);
    if !(free && usable) {
        return false;
    }
    let detail = StatusDetail { code: health_message.code.into(), message: health_message.message.into() };
    cloud_pc.status = CloudPcStatus::ProvisionedWithWarnings;
    cloud_pc.status_detail.replace(detail).is_none_or(|before| before.code != health_message.code)
}

/// Clears a status detail that this module wrote; returns its message.
fn clear(cloud_pc: &mut CloudPc) -> Option<HealthMessage> {
    let health_message = own_message(cloud_pc.status_detail.as_ref()?)?;
    cloud_pc.status_detail = None;
    if cloud_pc.status == CloudPcStatus::ProvisionedWithWarnings {
        cloud_pc.status = CloudPcStatus::Provisioned;
    }
    Some(health_message)
}

fn event(health_message: &HealthMessage, healthy: bool, at: Timestamp) -> HealthEvent {
    HealthEvent { id: 0, at, name: health_message.check.into(), well: healthy, message: health_message.message.into() }
}
