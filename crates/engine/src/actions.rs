//! What each kind of action does: its steps, how each is taken back, and what is stored when it
//! ends.
//!
//! [`recipe`] is the one list. A recipe is data with two kinds of functions in it: steps, which
//! talk to a driver or a guest and may be repeated at any time, and changes of the Cloud PC's row,
//! which happen in the commit that ends the action. When a step is run, under which lease, and what
//! becomes of its trouble is not decided here.

mod create_snapshot;
mod deploy_agent;
mod machine;
mod power_off;
mod power_on;
mod reboot;
mod rename;
mod reprovision;
mod resize;
mod restore;
mod step;
mod troubleshoot;
mod undo;

use cloudpc_model::{Action, Before, CloudPc, CloudPcStatus, Kind, Timestamp, UndoRecord};
use cloudpc_store::{StoreError, Tx};
use std::time::Duration;

pub use deploy_agent::ERROR_CODES as DEPLOY_ERROR_CODES;
pub(crate) use rename::DISPLAY_NAME_CHARS_MAX;
pub use step::{CancelMode, OnTimeout, Step, TimeMax};
pub(crate) use step::{StepContext, StepError, StepOutput};

/// How one kind of action is carried out.
#[derive(Debug)]
pub struct Recipe {
    /// The kind.
    pub kind: Kind,
    /// Its steps, in order. None: it is done in the commit that takes it.
    pub steps: &'static [Step],
    /// From its request to its end, waiting in line included.
    pub time_max: Duration,
    /// The status of the Cloud PC while it runs, if it is not usable meanwhile.
    pub status: Option<CloudPcStatus>,
    /// What changes in the store when it is done.
    pub(crate) complete: CompleteFn,
    /// What it leaves behind when it ends badly and nothing of it was taken back.
    pub(crate) after_failure: fn(&Action) -> AfterFailure,
}

/// Changes the Cloud PC's row, and whatever else is stored, in the commit that ends an action well.
pub(crate) type CompleteFn = fn(&mut Completion<'_, '_>) -> Result<(), StoreError>;

/// What an ending action changes.
pub(crate) struct Completion<'a, 'tx> {
    pub tx: &'a mut Tx<'tx>,
    pub now: Timestamp,
    pub undo_window: Duration,
    pub action: &'a Action,
    pub cloud_pc: &'a mut CloudPc,
}

/// What an action that ended badly has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// The machine is what it was.
    Unchanged,
    /// It is not.
    Broken,
}

/// How a kind of action is carried out.
pub fn recipe(kind: Kind) -> &'static Recipe {
    match kind {
        Kind::Reprovision => &reprovision::RECIPE,
        Kind::Resize => &resize::RECIPE,
        Kind::Restore => &restore::RECIPE,
        Kind::Undo => &undo::RECIPE,
        Kind::Rename => &rename::RECIPE,
        Kind::Reboot => &reboot::RECIPE,
        Kind::PowerOn => &power_on::RECIPE,
        Kind::PowerOff => &power_off::RECIPE,
        Kind::CreateSnapshot => &create_snapshot::RECIPE,
        Kind::Troubleshoot => &troubleshoot::RECIPE,
        Kind::DeployAgent => &deploy_agent::RECIPE,
    }
}

impl Recipe {
    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&'static Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Whether a step was begun after which there is no way back.
    pub(crate) fn past_return(&self, action: &Action) -> bool {
        self.steps.iter().any(|step| step.no_return && action.step(step.name).is_some())
    }
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn unchanged(_action: &Action) -> AfterFailure {
    AfterFailure::Unchanged
}

fn nothing(_ending: &mut Completion<'_, '_>) -> Result<(), StoreError> {
    Ok(())
}

impl Completion<'_, '_> {
    /// Keeps what undoing this action needs: what the Cloud PC is before its end changes it, and
    /// the disk, if the action has set it aside. From here on a step forward and a step back are
    /// the same: whatever is taken away stays for the undo window.
    fn keep_undo_record(&mut self, disk_aside: bool) -> Result<(), StoreError> {
        let record = UndoRecord {
            tenant_id: self.action.tenant_id,
            cloud_pc_id: self.cloud_pc.id,
            action_id: self.action.id,
            tag_nonce: self.action.tag_nonce,
            before: Before::of(self.cloud_pc, disk_aside),
            kept_until: self.now + self.undo_window,
            size_bytes: None,
            dropping: false,
        };
        self.tx.undo_record_put(&record, self.now)
    }
}
