//! What a look at a machine means for its Cloud PC, decided without doing anything.
//!
//! A machine that is off without anyone having asked for it is started again, with growing pauses
//! and not for ever. One that was shut down from inside is left off: its user wants it so. What is
//! wrong is told by the Cloud PC's detail until it is well again; what others have written there is
//! theirs.

use cloudpc_drivers::{MachineCondition, Observed};
use cloudpc_model::{
    Admission, CloudPc, CloudPcStatus, HealthCheck, HealthEvent, Kind, Power, StatusDetail, Timestamp, admit,
};
use std::time::Duration;

/// When machines that have crashed or panicked are started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RestartPolicy {
    /// Never: a person has to.
    Never,
    /// By themselves, at the most [`RESTARTS_MAX`] times until they have been well for
    /// [`WELL_TIME`].
    #[default]
    OnFailure,
}

/// How often a machine is started again that does not stay well.
pub const RESTARTS_MAX: u32 = 5;

/// How long a machine has to be well until it counts as a failure of its own when it fails again.
pub const WELL_TIME: Duration = Duration::from_secs(3600);

/// The pause before a machine is started again for the first time; it doubles from there.
pub const RESTART_PAUSE_MIN: Duration = Duration::from_secs(10);

/// What a look has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What was found, if that is news.
    pub event: Option<HealthEvent>,
    pub then: Remedy,
}

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    Nothing,
    LookAgain(Timestamp),
    PowerOn,
}

/// What is told of a kind of trouble.
struct HealthMessage {
    code: &'static str,
    check: &'static str,
    message: &'static str,
}

fn health_message(condition: MachineCondition) -> HealthMessage {
    let (code, check, message) = match condition {
        MachineCondition::Crashed => ("machineCrashed", "PowerCheck", "The machine has lost its power."),
        MachineCondition::Panicked => {
            ("guestPanicked", "PowerCheck", "The operating system has given up, and the machine is off.")
        }
        MachineCondition::ShutDown => ("guestShutDown", "PowerCheck", "It was shut down from inside, and is left off."),
        MachineCondition::HostDiskFull => (
            "hostDiskFull",
            "HostDiskCheck",
            "The machine stands still, because the disk of its host is full. It goes on by itself when there is room.",
        ),
        MachineCondition::GuestSilent => ("guestSilent", "AgentCheck", "The guest has not answered for long."),
    };
    HealthMessage { code, check, message }
}

/// Whether a detail was written here.
fn ours(detail: &StatusDetail) -> Option<HealthMessage> {
    let all = [
        MachineCondition::Crashed,
        MachineCondition::Panicked,
        MachineCondition::HostDiskFull,
        MachineCondition::GuestSilent,
    ];
    all.into_iter().map(health_message).find(|health_message| health_message.code == detail.code)
}

/// Decides, and writes into the Cloud PC and the check what is known from here on.
pub(crate) fn judge(
    cloud_pc: &mut CloudPc,
    check: &mut HealthCheck,
    observed: &Observed,
    restart: RestartPolicy,
    now: Timestamp,
) -> Verdict {
    let ran = cloud_pc.power_observed == Power::Running;
    cloud_pc.power_observed = observed.power;
    let wanted = cloud_pc.power_intended != Power::PoweredOff;
    match observed.condition {
        None => well(cloud_pc, check, now),
        Some(MachineCondition::ShutDown) => {
            take_back(cloud_pc);
            cloud_pc.power_intended = Power::PoweredOff;
            let event = wanted.then(|| event(&health_message(MachineCondition::ShutDown), true, now));
            Verdict { event, then: Remedy::Nothing }
        }
        Some(MachineCondition::Crashed | MachineCondition::Panicked) if !wanted => well(cloud_pc, check, now),
        Some(condition @ (MachineCondition::Crashed | MachineCondition::Panicked)) => {
            check.forget_at = None;
            let (mut health_message, then) = (health_message(condition), start_again(cloud_pc, check, restart, now));
            let given_up = then == Remedy::Nothing && check.restarts >= RESTARTS_MAX;
            if given_up {
                health_message.message =
                    "The machine is off: it was started again several times and has not stayed well.";
            }
            let news = note(cloud_pc, &health_message) || ran || given_up;
            Verdict { event: news.then(|| event(&health_message, false, now)), then }
        }
        Some(condition @ (MachineCondition::HostDiskFull | MachineCondition::GuestSilent)) => {
            // The driver tells when it is over.
            let health_message = health_message(condition);
            let event = note(cloud_pc, &health_message).then(|| event(&health_message, false, now));
            Verdict { event, then: Remedy::Nothing }
        }
    }
}

fn well(cloud_pc: &mut CloudPc, check: &mut HealthCheck, now: Timestamp) -> Verdict {
    check.restart_at = None;
    let event = take_back(cloud_pc).map(|mut health_message| {
        health_message.message = "It is well again.";
        event(&health_message, true, now)
    });
    let then = match check.restarts {
        0 => Remedy::Nothing,
        _ => match *check.forget_at.get_or_insert(now + WELL_TIME) {
            forget_at if forget_at <= now => Remedy::Nothing,
            forget_at => Remedy::LookAgain(forget_at),
        },
    };
    Verdict { event, then }
}

/// When a machine that is off and should not be is started again, if at all.
fn start_again(cloud_pc: &CloudPc, check: &mut HealthCheck, restart: RestartPolicy, now: Timestamp) -> Remedy {
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
        restart_at => Remedy::LookAgain(restart_at),
    }
}

/// Writes what is wrong into the Cloud PC, if that can be told there; whether it is news.
fn note(cloud_pc: &mut CloudPc, health_message: &HealthMessage) -> bool {
    let free = cloud_pc.status_detail.as_ref().is_none_or(|detail| ours(detail).is_some());
    let usable = matches!(cloud_pc.status, CloudPcStatus::Provisioned | CloudPcStatus::ProvisionedWithWarnings);
    if !(free && usable) {
        return false;
    }
    let detail = StatusDetail { code: health_message.code.into(), message: health_message.message.into() };
    cloud_pc.status = CloudPcStatus::ProvisionedWithWarnings;
    cloud_pc.status_detail.replace(detail).is_none_or(|before| before.code != health_message.code)
}

/// Takes back what was written into the Cloud PC here.
fn take_back(cloud_pc: &mut CloudPc) -> Option<HealthMessage> {
    let health_message = ours(cloud_pc.status_detail.as_ref()?)?;
    cloud_pc.status_detail = None;
    if cloud_pc.status == CloudPcStatus::ProvisionedWithWarnings {
        cloud_pc.status = CloudPcStatus::Provisioned;
    }
    Some(health_message)
}

fn event(health_message: &HealthMessage, well: bool, at: Timestamp) -> HealthEvent {
    HealthEvent { id: 0, at, name: health_message.check.into(), well, message: health_message.message.into() }
}
