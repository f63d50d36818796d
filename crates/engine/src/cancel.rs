//! Canceling actions and settling stuck ones.

use cloudpc_model::{
    Action, ActionId, ActivityId, AuditVerb, CloudPcStatus, Error, ErrorKind, EventKind, Kind, State, Timestamp,
};
use cloudpc_store::{DeploymentFilter, Tx};

use crate::actions::{end_unsuccessfully, recipe};
use crate::deploy::TARGETS_MAX;
use crate::ledger::{RequestContext, audit, end_pending};
use crate::partner::partners_of;
use crate::run::end_unstarted;
use crate::{Engine, plan};

impl Engine {
    /// Requests cancellation of an action: a pending action ends at once, a running one during or
    /// after its current step.
    ///
    /// # Errors
    /// Not found; conflict (`tooLateToCancel`: the action has ended or is past its point of no
    /// return).
    pub async fn cancel(&self, asked: &RequestContext, action: ActionId) -> Result<(), Error> {
        let (asked, now) = (asked.clone(), self.parts.clock.now());
        let canceled = self.parts.store.write("action.cancel", move |tx| {
            let action = tx.action(asked.tenant_id, action)?.ok_or_else(|| action_not_found(action))?;
            cancel(tx, &action, &asked, now)
        });
        let canceled = canceled.await?;
        self.work.signal(&[canceled]);
        Ok(())
    }

    /// Requests cancellation of every deployment of an activity that can still be canceled; returns
    /// their number.
    ///
    /// # Errors
    /// Not found; conflict if none can be canceled.
    pub async fn cancel_activity(&self, asked: &RequestContext, activity: ActivityId) -> Result<u64, Error> {
        let (asked, now) = (asked.clone(), self.parts.clock.now());
        let canceled = self.parts.store.write("activity.cancel", move |tx| {
            let mut canceled = Vec::new();
            for action in deployments_of(tx, &asked, activity)? {
                match cancel(tx, &action, &asked, now) {
                    Ok(id) => canceled.push(id),
                    Err(error) if error.kind == ErrorKind::Conflict => {}
                    Err(error) => return Err(error),
                }
            }
            if canceled.is_empty() {
                return Err(too_late(
                    "Every deployment of this activity has ended or is past the point where it can be canceled.",
                ));
            }
            Ok(canceled)
        });
        let canceled = canceled.await?;
        self.work.signal(&canceled);
        Ok(canceled.len() as u64)
    }

    /// Settles a stuck action after an operator has repaired the machine: the action ends as failed
    /// and releases the machine.
    ///
    /// # Errors
    /// Not found; conflict unless the action is stuck.
    pub async fn settle(&self, asked: &RequestContext, action: ActionId) -> Result<(), Error> {
        let (asked, now) = (asked.clone(), self.parts.clock.now());
        let settled = self.parts.store.write("action.settle", move |tx| {
            let action = tx.action(asked.tenant_id, action)?.ok_or_else(|| action_not_found(action))?;
            if action.state != State::Stuck {
                let state: &str = action.state.into();
                let message = format!("Action {} is {state}. Only stuck actions can be settled.", action.id);
                return Err(Error::new(ErrorKind::Conflict, "notStuck", message));
            }
            tx.action_append(action.id, action.epoch, now, EventKind::Settled { by: asked.by.clone() })?;
            if let Some(id) = action.cloud_pc_id()
                && let Some(mut cloud_pc) = tx.cloud_pc(asked.tenant_id, id)?
            {
                if let Kind::Provision | Kind::Prepare | Kind::Deprovision = action.kind() {
                    end_unsuccessfully(&mut cloud_pc, &action, action.failure(), now);
                } else {
                    cloud_pc.status = CloudPcStatus::Provisioned;
                    cloud_pc.status_detail = None;
                }
                cloud_pc.modified_at = now;
                tx.cloud_pc_update(&cloud_pc)?;
            }
            audit::intervention(tx, &asked, &action, AuditVerb::SettleAction, now)?;
            Ok::<_, Error>(())
        });
        settled.await?;
        self.work.wake.notify_one();
        Ok(())
    }
}

fn cancel(tx: &mut Tx<'_>, action: &Action, asked: &RequestContext, now: Timestamp) -> Result<ActionId, Error> {
    if action.kind() == Kind::DropRestorePoint && !action.state.is_final() {
        let message = format!(
            "Action {} drops the disk of a restore point that is deleted already, and cannot be canceled.",
            action.id
        );
        return Err(too_late(message));
    }
    match action.state {
        State::Pending => {
            // Written before the audit row of the action's end.
            audit::intervention(tx, asked, action, AuditVerb::CancelAction, now)?;
            let who = if asked.by.user_principal_name.is_empty() {
                &asked.by.app_name
            } else {
                &asked.by.user_principal_name
            };
            end_pending(tx, action, &asked.by, &format!("{who} canceled the action before it started."), now)?;
            if let Some(ended) = tx.action(action.tenant_id, action.id)? {
                end_unstarted(tx, &ended, now)?;
            }
        }
        State::Running if recipe(action.kind()).past_return(action) => {
            return Err(too_late(format!(
                "Action {} is past its point of no return and can no longer be canceled.",
                action.id
            )));
        }
        State::Running => {
            audit::intervention(tx, asked, action, AuditVerb::CancelAction, now)?;
            if action.cancel_requested_at.is_none() {
                let requested = EventKind::CancelRequested { by: asked.by.clone() };
                tx.action_append(action.id, action.epoch, now, requested)?;
            }
        }
        State::Undoing => {
            let why = plan::undo_reason(action);
            return Err(too_late(format!("Action {} is already being undone. {why}.", action.id)));
        }
        State::Stuck => {
            return Err(too_late(format!(
                "Action {} is stuck: undoing it failed. Repair the machine, then settle the action.",
                action.id
            )));
        }
        State::Done | State::Failed | State::Canceled | State::NotSupported => {
            let state: &str = action.state.into();
            return Err(too_late(format!("Action {} has already ended ({state}).", action.id)));
        }
    }
    Ok(action.id)
}

fn deployments_of(tx: &Tx<'_>, asked: &RequestContext, activity: ActivityId) -> Result<Vec<Action>, Error> {
    let filter = DeploymentFilter { activity: Some(activity.to_string()), target: None };
    let (first, last) = (ActionId(0), ActionId(i64::MAX));
    for partner in partners_of(tx, asked.tenant_id)? {
        let rows = tx.deployment_list(asked.tenant_id, partner.id, &filter, first, last, TARGETS_MAX)?;
        if !rows.is_empty() {
            let actions = rows.iter().map(|row| tx.action(asked.tenant_id, row.action_id));
            return Ok(actions.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect());
        }
    }
    Err(Error::not_found(format!("There is no activity '{activity}' in this tenant.")))
}

fn action_not_found(id: ActionId) -> Error {
    Error::not_found(format!("There is no action '{id}' in this tenant."))
}

fn too_late(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Conflict, "tooLateToCancel", message)
}
