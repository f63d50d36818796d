//! Recipes of all kinds of actions: steps, undo of each step, and what the end of an action stores.
//!
//! [`recipe`] lists them. A recipe is data with two kinds of functions: steps, which call a driver
//! or a guest and may be repeated at any time, and changes of the Cloud PC's row, made in the
//! transaction that ends the action. Scheduling, leases and retries are decided elsewhere.

mod apply_policy;
mod change_user_account_type;
mod check_connection;
mod create_snapshot;
mod deploy_agent;
mod deprovision;
mod drop_restore_point;
mod guest_setup;
mod import_image;
mod machine;
mod place_under_review;
mod power_off;
mod power_on;
mod prepare;
mod provision;
mod reboot;
mod remove_image;
mod rename;
mod reprovision;
mod resize;
mod restore;
mod set_device_name;
mod step;
mod take_restore_point;
mod troubleshoot;
mod undo;

use cloudpc_model::{
    Action, Before, CloudPc, CloudPcStatus, Document, Failure, Kind, State, StatusDetail, Timestamp, UndoRecord,
};
use cloudpc_store::{StoreError, Tx};
use std::time::Duration;

pub use deploy_agent::ERROR_CODES as DEPLOY_ERROR_CODES;
pub use import_image::ERROR_CODES as IMPORT_ERROR_CODES;
pub(crate) use import_image::ImportTurns;
pub(crate) use rename::DISPLAY_NAME_CHARS_MAX;
pub(crate) use set_device_name::{DEVICE_NAME_CHARS_MAX, is_device_name};
pub use step::{CancelMode, OnTimeout, Step, TimeMax};
pub(crate) use step::{StepContext, StepError, StepOutput};

/// Definition of one kind of action.
#[derive(Debug)]
pub struct Recipe {
    /// Kind that this recipe defines.
    pub kind: Kind,
    /// Steps in order. An action without steps completes in the transaction that claims it.
    pub steps: &'static [Step],
    /// Deadline from request to end, waiting in line included.
    pub time_max: Duration,
    /// What the action works on.
    pub(crate) subject: Subject,
}

/// What a kind of action works on, and what is stored there when an action begins and ends.
#[derive(Debug)]
pub(crate) enum Subject {
    /// A Cloud PC.
    CloudPc {
        /// Status of the Cloud PC while the action runs, if the machine is unusable meanwhile.
        status: Option<fn(&Action) -> CloudPcStatus>,
        /// Changes stored when the action succeeds.
        complete: CompleteFn,
        /// State of the Cloud PC after an unsuccessful end.
        after_failure: fn(&Action) -> AfterFailure,
    },
    /// A document, such as a device image.
    Document {
        /// Changes the document's status when the action begins.
        begin: fn(&mut Document, Timestamp),
        /// Changes the document's status and related rows when the action ends.
        end: DocumentEndFn,
    },
}

/// Changes a document and related rows in the transaction that ends an action. The document may be
/// gone by then.
pub(crate) type DocumentEndFn = fn(&mut DocumentEnd<'_, '_>) -> Result<(), StoreError>;

/// Context of the end of an action on a document.
pub(crate) struct DocumentEnd<'a, 'tx> {
    pub tx: &'a mut Tx<'tx>,
    pub now: Timestamp,
    pub action: &'a Action,
    /// The final state of the action.
    pub outcome: State,
    pub failure: Option<&'a Failure>,
    pub document: Option<&'a mut Document>,
}

/// Changes the Cloud PC's row and related rows in the transaction that ends an action successfully.
pub(crate) type CompleteFn = fn(&mut Completion<'_, '_>) -> Result<(), StoreError>;

/// Context of a successful end: the transaction and the row to change.
pub(crate) struct Completion<'a, 'tx> {
    pub tx: &'a mut Tx<'tx>,
    pub now: Timestamp,
    pub undo_window: Duration,
    pub action: &'a Action,
    pub cloud_pc: &'a mut CloudPc,
}

/// State of a Cloud PC after an unsuccessful end of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// As before the action.
    Unchanged,
    /// The machine is missing or may be unusable.
    Broken,
    /// In its grace period, at whose end it is deprovisioned again.
    InGracePeriod,
}

/// Applies the unsuccessful end of an action to its Cloud PC, whether it was started or not.
pub(crate) fn end_unsuccessfully(cloud_pc: &mut CloudPc, action: &Action, failure: Option<&Failure>, now: Timestamp) {
    let recipe = recipe(action.kind());
    let Subject::CloudPc { after_failure, .. } = &recipe.subject else { return };
    if action.kind() == Kind::Resize {
        cloud_pc.end_license_wait();
    }
    if recipe.status_during(action) == Some(cloud_pc.status)
        && let Some(before) = cloud_pc.status_before.take()
    {
        cloud_pc.status = before;
    }
    match after_failure(action) {
        AfterFailure::Unchanged => {}
        AfterFailure::Broken => mark_failed(cloud_pc, failure),
        AfterFailure::InGracePeriod => {
            cloud_pc.status = CloudPcStatus::InGracePeriod;
            let retry_at = now + deprovision::RETRY_AFTER;
            cloud_pc.grace_ends_at = cloud_pc.grace_ends_at.max(Some(retry_at));
        }
    }
}

/// Marks a Cloud PC as failed, with the reason.
pub(crate) fn mark_failed(cloud_pc: &mut CloudPc, failure: Option<&Failure>) {
    cloud_pc.status = CloudPcStatus::Failed;
    cloud_pc.status_before = None;
    cloud_pc.status_detail =
        failure.map(|failure| StatusDetail { code: failure.code.clone(), message: failure.message.clone() });
}

/// Returns the recipe of a kind.
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
        Kind::ChangeUserAccountType => &change_user_account_type::RECIPE,
        Kind::SetDeviceName => &set_device_name::RECIPE,
        Kind::PlaceUnderReview => &place_under_review::RECIPE,
        Kind::TakeRestorePoint => &take_restore_point::RECIPE,
        Kind::DropRestorePoint => &drop_restore_point::RECIPE,
        Kind::DeployAgent => &deploy_agent::RECIPE,
        Kind::Provision => &provision::RECIPE,
        Kind::Prepare => &prepare::RECIPE,
        Kind::Deprovision => &deprovision::RECIPE,
        Kind::ApplyPolicy => &apply_policy::RECIPE,
        Kind::ImportImage => &import_image::RECIPE,
        Kind::RemoveImage => &remove_image::RECIPE,
        Kind::CheckConnection => &check_connection::RECIPE,
    }
}

impl Recipe {
    /// Returns the step of this name.
    pub fn step(&self, name: &str) -> Option<&'static Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Returns the status of the Cloud PC while an action runs, if the machine is unusable
    /// meanwhile.
    pub(crate) fn status_during(&self, action: &Action) -> Option<CloudPcStatus> {
        match &self.subject {
            Subject::CloudPc { status, .. } => status.map(|status| status(action)),
            Subject::Document { .. } => None,
        }
    }

    /// Returns whether a step has started after which the action can no longer be undone.
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
    /// Writes the undo record of this action: the Cloud PC before its end changes it, and whether
    /// an old disk was set aside. Undoing an action writes an undo record in turn, so whatever is
    /// replaced is kept for the undo window.
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
