//! Taking requests for remote actions: validation, admission, the action row, its first event and
//! the audit row in one transaction.
//!
//! An accepted action changes nothing about its Cloud PC yet. The status turns to `provisioning`,
//! `resizing` or `restoring` when the action begins: until then the machine is as usable as it was,
//! and a deployment ahead in line has to find it so.

use cloudpc_model::{
    ActionId, Actor, Admission, AuditEntry, CloudPc, CloudPcId, Denial, Error, ErrorKind, Kind, Params, State,
    TenantId, Timestamp, admit,
};
use cloudpc_store::{ActionFilter, NewAction, Reader, StoreError, Tx};

use crate::actions::{DISPLAY_NAME_CHARS_MAX, recipe};
use crate::{Engine, audit, image};

/// How far back it is looked for what could have been undone.
const ACTIONS_SEEN: usize = 100;

/// Who asks, and by which request.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The tenant of the caller.
    pub tenant_id: TenantId,
    /// The caller.
    pub by: Actor,
    /// The request, for the audit log.
    pub request_id: String,
}

/// What an action is given when it is accepted, drawn before its transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub at: Timestamp,
    pub tag_nonce: u64,
}

impl Engine {
    /// Asks for a remote action on a Cloud PC. When this returns, the action is on disk.
    ///
    /// # Errors
    /// Not found; conflict (`remoteActionInProgress` naming the open action,
    /// `cloudPcStatusNotAllowed`); invalid (an unknown service plan or restore point).
    pub async fn request(
        &self,
        asked: &RequestContext,
        cloud_pc: CloudPcId,
        params: Params,
    ) -> Result<ActionId, Error> {
        let tenant = asked.tenant_id;
        self.request_found(asked, move |reader| Ok((find(reader, tenant, cloud_pc)?, params.clone()))).await
    }

    /// The same for a Cloud PC that `find` looks up together with what is to be done to it, in the
    /// transaction that writes the action.
    ///
    /// # Errors
    /// Those of `find`, and as above.
    pub async fn request_found<E, F>(&self, asked: &RequestContext, find: F) -> Result<ActionId, E>
    where
        F: Fn(&Reader<'_>) -> Result<(CloudPc, Params), E> + Send + 'static,
        E: From<Error> + From<StoreError> + Send + 'static,
    {
        let (asked, stamp) = (asked.clone(), self.stamp());
        let written = self.parts.store.write("action.accept", move |tx| {
            let (cloud_pc, params) = find(tx)?;
            Ok::<_, E>(request(tx, &asked, &cloud_pc, params, stamp)?)
        });
        let id = written.await?;
        self.work.wake.notify_one();
        Ok(id)
    }

    /// Asks for the last reprovision, restore, resize or undo of a Cloud PC to be undone. When this
    /// returns, the undo is on disk.
    ///
    /// # Errors
    /// Not found; conflict as for every request, and `nothingToUndo` or `undoWindowPassed`.
    pub async fn undo(&self, asked: &RequestContext, cloud_pc: CloudPcId) -> Result<ActionId, Error> {
        let (asked, stamp) = (asked.clone(), self.stamp());
        let id = self.parts.store.write("action.acceptUndo", move |tx| undo(tx, &asked, cloud_pc, stamp)).await?;
        self.work.wake.notify_one();
        Ok(id)
    }

    /// The stamp of an action that is accepted now.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { at: self.parts.clock.now(), tag_nonce: self.parts.rng.next_u64() }
    }
}

fn request(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    cloud_pc: &CloudPc,
    mut params: Params,
    stamp: Stamp,
) -> Result<ActionId, Error> {
    validate(tx, cloud_pc, &mut params)?;
    // Where the status allows it nothing more is looked up: whether another action is open is told
    // by the index when this one is written.
    if admit(params.kind(), cloud_pc.status, None) != Admission::Accept {
        must_be_admitted(tx, cloud_pc, params.kind())?;
    }
    accept(tx, asked, cloud_pc, params, stamp)
}

/// What is under way on a machine says more than what could be undone on it, so that is looked at
/// first.
fn undo(tx: &mut Tx<'_>, asked: &RequestContext, id: CloudPcId, stamp: Stamp) -> Result<ActionId, Error> {
    let cloud_pc = find(tx, asked.tenant_id, id)?;
    must_be_admitted(tx, &cloud_pc, Kind::Undo)?;
    let record = tx.undo_record_of(asked.tenant_id, &id.to_string())?;
    match record.filter(|record| record.kept_until > stamp.at) {
        Some(record) => accept(tx, asked, &cloud_pc, Params::Undo { action_id: record.action_id }, stamp),
        None => Err(no_way_back(tx, &cloud_pc)?),
    }
}

fn find(reader: &Reader<'_>, tenant: TenantId, id: CloudPcId) -> Result<CloudPc, Error> {
    let cloud_pc = reader.cloud_pc(tenant, id)?;
    cloud_pc.ok_or_else(|| Error::not_found(format!("There is no Cloud PC '{id}' in this tenant.")))
}

fn must_be_admitted(tx: &Tx<'_>, cloud_pc: &CloudPc, kind: Kind) -> Result<(), Error> {
    let open = tx.action_open_remote(cloud_pc.tenant_id, &cloud_pc.id.to_string())?;
    match admit(kind, cloud_pc.status, open) {
        Admission::Accept => Ok(()),
        Admission::Deny(denial) => Err(denied(&denial)),
    }
}

pub(crate) fn accept(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    cloud_pc: &CloudPc,
    params: Params,
    stamp: Stamp,
) -> Result<ActionId, Error> {
    let (tenant, target, kind) = (asked.tenant_id, cloud_pc.id.to_string(), params.kind());
    let entry = accepted(audit::asked_for(asked, stamp.at, kind, audit::resource(cloud_pc)), cloud_pc, &params);
    let inserted = tx.action_insert(&NewAction {
        tenant_id: tenant,
        target: target.clone(),
        params,
        requested_by: asked.by.clone(),
        requested_at: stamp.at,
        deadline_at: stamp.at + recipe(kind).time_max,
        tag_nonce: stamp.tag_nonce,
        idempotency_key: None,
    });
    let action = match inserted {
        // The index has the last word about one open remote action on a machine.
        Err(StoreError::Exists(_)) => {
            let open = tx.action_open_remote(tenant, &target)?.ok_or(StoreError::Exists("the action"))?;
            return Err(denied(&Denial::RemoteActionInProgress(Box::new(open))));
        }
        other => other?,
    };
    tx.audit_insert(&entry.detail("actionId", &action.to_string()))?;
    Ok(action)
}

/// Refuses what could never work, so that it is the caller's answer and not the action's result.
/// Chooses the image of a reprovision.
fn validate(tx: &Tx<'_>, cloud_pc: &CloudPc, params: &mut Params) -> Result<(), Error> {
    let tenant = cloud_pc.tenant_id;
    match params {
        Params::Reprovision { os_version, image_id, .. } => match image::choose(tx, cloud_pc, *os_version)? {
            Some(image) => *image_id = Some(image.id),
            None => return Err(Error::invalid("The gallery has no image to reprovision this Cloud PC from.")),
        },
        Params::Resize { target_service_plan_id: wanted } => {
            let Some(target) = tx.service_plan(tenant, *wanted)? else {
                return Err(Error::invalid(format!(
                    "There is no service plan '{wanted}'. Name one of the service plans."
                )));
            };
            if *wanted == cloud_pc.service_plan_id {
                return Err(Error::invalid(format!(
                    "The Cloud PC has the service plan '{}' already.",
                    target.display_name
                )));
            }
            if let Some(present) = tx.service_plan(tenant, cloud_pc.service_plan_id)? {
                if target.storage_gib < present.storage_gib {
                    return Err(Error::invalid(format!(
                        "The service plan '{}' has less storage ({} GB) than the Cloud PC has now ({} GB). A disk cannot shrink.",
                        target.display_name, target.storage_gib, present.storage_gib
                    )));
                }
                if target.product != present.product {
                    return Err(Error::invalid(format!(
                        "The service plan '{}' is for another edition than the Cloud PC.",
                        target.display_name
                    )));
                }
            }
        }
        Params::Restore { snapshot_id } => {
            let snapshot = tx.snapshot(tenant, snapshot_id)?;
            if snapshot.is_none_or(|snapshot| snapshot.cloud_pc_id != cloud_pc.id) {
                return Err(Error::invalid(format!("The Cloud PC has no restore point '{snapshot_id}'.")));
            }
        }
        Params::Rename { display_name } => {
            if !(1..=DISPLAY_NAME_CHARS_MAX).contains(&display_name.chars().count()) {
                return Err(Error::invalid(format!(
                    "'displayName' has to be 1 to {DISPLAY_NAME_CHARS_MAX} characters long."
                )));
            }
        }
        Params::CreateSnapshot { snapshot_id } => {
            if !snapshot_id.0.starts_with(&format!("CPC_{}_", cloud_pc.id)) {
                return Err(Error::invalid(format!("'{snapshot_id}' cannot be a restore point of this Cloud PC.")));
            }
        }
        Params::Undo { .. } => return Err(Error::invalid("What there is to undo is looked up and not asked for.")),
        Params::DeployAgent { .. } => return Err(Error::invalid("An agent is deployed by its partner.")),
        Params::Reboot | Params::PowerOn | Params::PowerOff | Params::Troubleshoot => {}
    }
    Ok(())
}

/// Why nothing can be undone on a Cloud PC.
fn no_way_back(tx: &Tx<'_>, cloud_pc: &CloudPc) -> Result<Error, StoreError> {
    let latest =
        tx.action_list(cloud_pc.tenant_id, &cloud_pc.id.to_string(), ActionFilter::Remote, None, ACTIONS_SEEN)?;
    let passed = latest.into_iter().find(|action| action.state == State::Done && action.kind().can_be_undone());
    let (code, message) = match passed {
        Some(action) => (
            "undoWindowPassed",
            format!(
                "The {} of {} (action {}) can no longer be undone: the time for it has passed, or the disk from before had to make room for younger ones.",
                action.kind().name(),
                action.updated_at,
                action.id
            ),
        ),
        None => (
            "nothingToUndo",
            "There is nothing to undo on this Cloud PC: a reprovision, restore or resize can be undone once it is done.".into(),
        ),
    };
    Ok(Error::new(ErrorKind::Conflict, code, message))
}

fn denied(denial: &Denial) -> Error {
    let code = match denial {
        Denial::RemoteActionInProgress(_) => "remoteActionInProgress",
        Denial::Status { .. } => "cloudPcStatusNotAllowed",
    };
    Error::new(ErrorKind::Conflict, code, denial.to_string())
}

/// The audit row of an accepted action, with what it was asked to change.
fn accepted(entry: AuditEntry, cloud_pc: &CloudPc, params: &Params) -> AuditEntry {
    match params {
        Params::Reprovision { os_version, user_account_type, .. } => {
            let wanted =
                (os_version.unwrap_or(cloud_pc.os_version), user_account_type.unwrap_or(cloud_pc.user_account_type));
            let (system, account): (&str, &str) = (wanted.0.into(), wanted.1.into());
            entry.changed("osVersion", Some(cloud_pc.os_version.into()), system).changed(
                "userAccountType",
                Some(cloud_pc.user_account_type.into()),
                account,
            )
        }
        Params::Resize { target_service_plan_id: wanted } => {
            entry.changed("servicePlanId", Some(&cloud_pc.service_plan_id.to_string()), &wanted.to_string())
        }
        Params::Rename { display_name } => entry.changed("displayName", Some(&cloud_pc.display_name), display_name),
        Params::Restore { snapshot_id } | Params::CreateSnapshot { snapshot_id } => {
            entry.detail("snapshotId", &snapshot_id.0)
        }
        Params::Undo { action_id } => entry.detail("undoes", &action_id.to_string()),
        Params::Reboot | Params::PowerOn | Params::PowerOff | Params::Troubleshoot | Params::DeployAgent { .. } => {
            entry
        }
    }
}
