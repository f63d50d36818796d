//! Accepting remote actions: validation, admission, the action row, its first event and the audit
//! row, in one transaction.
//!
//! Acceptance does not change the Cloud PC. Its status turns to `provisioning`, `resizing` or
//! `restoring` when the action starts: until then the machine stays usable, and a deployment ahead
//! in line requires it to be. A resize that waits for a licence shows as `resizePendingLicense` at
//! once.

use cloudpc_model::{
    Action, ActionId, Admission, AuditEntry, CloudPc, CloudPcId, Denial, Error, ErrorKind, Kind, Params, ServicePlanId,
    State, TenantId, Timestamp, admit,
};
use cloudpc_store::{ActionFilter, NewAction, Reader, StoreError, Tx};

use crate::actions::{DEVICE_NAME_CHARS_MAX, DISPLAY_NAME_CHARS_MAX, is_device_name, recipe};
use crate::ledger::{RequestContext, audit};
use crate::{Engine, frontline, image, license_wait};

/// Most recent remote actions searched for one that could have been undone.
const ACTIONS_SEEN: usize = 100;

/// Time and tag nonce of an action to accept, drawn before its transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub at: Timestamp,
    pub tag_nonce: u64,
}

impl Stamp {
    /// Returns the stamp of an action that is accepted because another one has ended.
    pub fn following(action: &Action, now: Timestamp) -> Self {
        Self { at: now, tag_nonce: action.tag_nonce.unwrap_or_default() }
    }
}

impl Engine {
    /// Requests a remote action on a Cloud PC. The action is durable when this returns.
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

    /// Like [`Engine::request`], with a Cloud PC and parameters that `find` looks up in the
    /// transaction that writes the action.
    ///
    /// # Errors
    /// Errors of `find` and of [`Engine::request`].
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

    /// Requests the undo of the last reprovision, restore, resize or undo of a Cloud PC. The action
    /// is durable when this returns.
    ///
    /// # Errors
    /// Those of [`Engine::request`], and conflict (`nothingToUndo`, `undoWindowPassed`).
    pub async fn undo(&self, asked: &RequestContext, cloud_pc: CloudPcId) -> Result<ActionId, Error> {
        let (asked, stamp) = (asked.clone(), self.stamp());
        let id = self.parts.store.write("action.acceptUndo", move |tx| undo(tx, &asked, cloud_pc, stamp)).await?;
        self.work.wake.notify_one();
        Ok(id)
    }

    /// Returns the stamp of an action that is accepted now.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { at: self.parts.clock.now(), tag_nonce: self.parts.rng.next_u64() }
    }
}

pub(crate) fn request(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    cloud_pc: &CloudPc,
    mut params: Params,
    stamp: Stamp,
) -> Result<ActionId, Error> {
    validate(tx, cloud_pc, &mut params)?;
    // If the status allows the action, no query is needed: the unique index detects an open remote
    // action on insert.
    if admit(params.kind(), cloud_pc.status, None) != Admission::Accept {
        check_admission(tx, cloud_pc, params.kind())?;
    }
    let waits_for_license = params.kind() == Kind::Resize && license_wait::is_needed(tx, cloud_pc)?;
    frontline::on_accept(tx, cloud_pc, params.kind(), stamp.at)?;
    let action = accept(tx, asked, cloud_pc, params.clone(), stamp)?;
    if waits_for_license {
        license_wait::begin(tx, cloud_pc, action, &params, stamp)?;
    }
    Ok(action)
}

/// Admission comes first: an open action explains a refusal better than a missing undo record.
fn undo(tx: &mut Tx<'_>, asked: &RequestContext, id: CloudPcId, stamp: Stamp) -> Result<ActionId, Error> {
    let cloud_pc = find(tx, asked.tenant_id, id)?;
    check_admission(tx, &cloud_pc, Kind::Undo)?;
    let record = tx.undo_record_of(asked.tenant_id, &id.to_string())?;
    match record.filter(|record| record.kept_until > stamp.at) {
        Some(record) => accept(tx, asked, &cloud_pc, Params::Undo { action_id: record.action_id }, stamp),
        None => Err(cannot_undo(tx, &cloud_pc)?),
    }
}

pub(crate) fn find(reader: &Reader<'_>, tenant: TenantId, id: CloudPcId) -> Result<CloudPc, Error> {
    let cloud_pc = reader.cloud_pc(tenant, id)?;
    cloud_pc.ok_or_else(|| Error::not_found(format!("There is no Cloud PC '{id}' in this tenant.")))
}

pub(crate) fn check_admission(tx: &Tx<'_>, cloud_pc: &CloudPc, kind: Kind) -> Result<(), Error> {
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
    match accept_unchecked(tx, asked, cloud_pc, params, stamp) {
        // The unique index guarantees one open remote action per machine.
        Err(StoreError::Exists(_)) => {
            let open = tx.action_open_remote(asked.tenant_id, &cloud_pc.id.to_string())?;
            Err(denied(&Denial::RemoteActionInProgress(Box::new(open.ok_or(StoreError::Exists("the action"))?))))
        }
        other => Ok(other?),
    }
}

/// Accepts an action that is not refused, such as one that is not a remote action.
pub(crate) fn accept_unchecked(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    cloud_pc: &CloudPc,
    params: Params,
    stamp: Stamp,
) -> Result<ActionId, StoreError> {
    let (tenant, target, kind) = (asked.tenant_id, cloud_pc.id.to_string(), params.kind());
    let entry = with_changes(audit::asked_for(asked, stamp.at, kind, audit::resource(cloud_pc)), cloud_pc, &params);
    let action = tx.action_insert(&NewAction {
        tenant_id: tenant,
        target,
        params,
        requested_by: asked.by.clone(),
        bulk_action_id: asked.bulk_action_id,
        requested_at: stamp.at,
        deadline_at: stamp.at + recipe(kind).time_max,
        tag_nonce: stamp.tag_nonce,
        idempotency_key: None,
    })?;
    let entry = entry.detail("actionId", &action.to_string());
    tx.audit_insert(&match asked.bulk_action_id {
        Some(bulk) => entry.detail("bulkActionId", &bulk.to_string()),
        None => entry,
    })?;
    Ok(action)
}

/// Checks that a Cloud PC can have another service plan.
///
/// # Errors
/// Invalid: there is no such plan, it is the present one, its disk is smaller, or it is for another
/// edition.
pub fn check_resize(reader: &Reader<'_>, cloud_pc: &CloudPc, wanted: ServicePlanId) -> Result<(), Error> {
    let Some(target) = reader.service_plan(cloud_pc.tenant_id, wanted)? else {
        return Err(Error::invalid(format!(
            "There is no service plan '{wanted}'. Choose one from the list of service plans."
        )));
    };
    if wanted == cloud_pc.service_plan_id {
        return Err(Error::invalid(format!("The Cloud PC already has service plan '{}'.", target.display_name)));
    }
    let Some(present) = reader.service_plan(cloud_pc.tenant_id, cloud_pc.service_plan_id)? else { return Ok(()) };
    if target.storage_gib < present.storage_gib {
        return Err(Error::invalid(format!(
            "Service plan '{}' has less storage ({} GB) than the Cloud PC ({} GB). A disk cannot shrink.",
            target.display_name, target.storage_gib, present.storage_gib
        )));
    }
    if target.product != present.product {
        return Err(Error::invalid(format!(
            "Service plan '{}' is for a different edition than the Cloud PC.",
            target.display_name
        )));
    }
    Ok(())
}

/// Rejects requests that cannot succeed, so that the caller gets an error instead of a failed
/// action. Chooses the image of a reprovision.
fn validate(tx: &Tx<'_>, cloud_pc: &CloudPc, params: &mut Params) -> Result<(), Error> {
    let tenant = cloud_pc.tenant_id;
    match params {
        Params::Reprovision { os_version, image_id, .. } => match image::choose(tx, cloud_pc, *os_version)? {
            Some(image) => *image_id = Some(image.id),
            None => return Err(Error::invalid("The gallery has no image for reprovisioning this Cloud PC.")),
        },
        Params::Resize { target_service_plan_id } => check_resize(tx, cloud_pc, *target_service_plan_id)?,
        Params::Restore { snapshot_id } => {
            let snapshot = tx.snapshot(tenant, snapshot_id)?;
            if snapshot.is_none_or(|snapshot| snapshot.cloud_pc_id != cloud_pc.id) {
                return Err(Error::invalid(format!("The Cloud PC has no restore point '{snapshot_id}'.")));
            }
        }
        Params::Rename { display_name } => {
            if !(1..=DISPLAY_NAME_CHARS_MAX).contains(&display_name.chars().count()) {
                return Err(Error::invalid(format!(
                    "'displayName' has {} characters; 1 to {DISPLAY_NAME_CHARS_MAX} are allowed.",
                    display_name.chars().count()
                )));
            }
        }
        Params::CreateSnapshot { snapshot_id } => {
            if !snapshot_id.0.starts_with(&format!("CPC_{}_", cloud_pc.id)) {
                return Err(Error::invalid(format!("'{snapshot_id}' is not a restore point id of this Cloud PC.")));
            }
        }
        Params::SetDeviceName { device_name } => {
            if !is_device_name(device_name) {
                return Err(Error::invalid(format!(
                    "'{device_name}' is not a device name. Use 1 to {DEVICE_NAME_CHARS_MAX} letters, digits and hyphens; not digits alone, and no hyphen at either end."
                )));
            }
            if *device_name != cloud_pc.managed_device_name && tx.cloud_pc_device_name_exists(tenant, device_name)? {
                return Err(Error::invalid(format!("Another device has the name '{device_name}'. Choose another.")));
            }
        }
        Params::Undo { .. } => return Err(Error::invalid("'undo' takes no action id.")),
        Params::DeployAgent { .. } => return Err(Error::invalid("Agents are deployed through an external partner.")),
        Params::Provision | Params::Prepare { .. } | Params::Deprovision | Params::ApplyPolicy { .. } => {
            return Err(Error::invalid(
                "Cloud PCs are provisioned, prepared, deprovisioned and given the settings of policies through these policies.",
            ));
        }
        Params::TakeRestorePoint { .. } | Params::DropRestorePoint { .. } => {
            return Err(Error::invalid("Automatic restore points are taken and dropped by the service."));
        }
        Params::PlaceUnderReview { .. } => {
            return Err(Error::invalid("A Cloud PC is placed under review by its review status."));
        }
        Params::ImportImage { .. } | Params::RemoveImage | Params::CheckConnection => {
            return Err(Error::invalid("This action does not work on a Cloud PC."));
        }
        Params::ChangeUserAccountType { .. } if cloud_pc.is_shared() => {
            return Err(Error::invalid(
                "A shared Cloud PC has no user of its own. Change 'localAdminEnabled' of its policy, then reprovision it.",
            ));
        }
        Params::Reboot
        | Params::PowerOn
        | Params::PowerOff
        | Params::Troubleshoot
        | Params::ChangeUserAccountType { .. } => {}
    }
    Ok(())
}

/// Returns why nothing can be undone on a Cloud PC.
fn cannot_undo(tx: &Tx<'_>, cloud_pc: &CloudPc) -> Result<Error, StoreError> {
    let latest =
        tx.action_list(cloud_pc.tenant_id, &cloud_pc.id.to_string(), ActionFilter::Remote, None, ACTIONS_SEEN)?;
    let expired = latest.into_iter().find(|action| action.state == State::Done && action.kind().can_be_undone());
    let (code, message) = match expired {
        Some(action) => (
            "undoWindowPassed",
            format!(
                "The {} of {} (action {}) can no longer be undone: its undo window has expired, or its old disk was deleted to free space.",
                action.kind().name(),
                action.updated_at,
                action.id
            ),
        ),
        None => (
            "nothingToUndo",
            "This Cloud PC has nothing to undo. Only a completed reprovision, restore or resize can be undone.".into(),
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

/// Completes the audit row of an accepted action with its requested changes.
fn with_changes(entry: AuditEntry, cloud_pc: &CloudPc, params: &Params) -> AuditEntry {
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
        Params::ChangeUserAccountType { user_account_type } => {
            entry.changed("userAccountType", Some(cloud_pc.user_account_type.into()), (*user_account_type).into())
        }
        Params::SetDeviceName { device_name } => {
            entry.changed("managedDeviceName", Some(&cloud_pc.managed_device_name), device_name)
        }
        Params::Rename { display_name } => entry.changed("displayName", Some(&cloud_pc.display_name), display_name),
        Params::Restore { snapshot_id }
        | Params::CreateSnapshot { snapshot_id }
        | Params::PlaceUnderReview { snapshot_id }
        | Params::TakeRestorePoint { snapshot_id }
        | Params::DropRestorePoint { snapshot_id } => entry.detail("snapshotId", &snapshot_id.0),
        Params::Undo { action_id } => entry.detail("undoes", &action_id.to_string()),
        Params::ApplyPolicy { region, single_sign_on, .. } => {
            let entry = match region {
                Some(region) => entry.changed("region", Some(&cloud_pc.region), region),
                None => entry,
            };
            match single_sign_on {
                Some(wanted) => {
                    let present = cloud_pc.single_sign_on.to_string();
                    entry.changed("enableSingleSignOn", Some(&present), &wanted.to_string())
                }
                None => entry,
            }
        }
        Params::Reboot
        | Params::PowerOn
        | Params::PowerOff
        | Params::Troubleshoot
        | Params::DeployAgent { .. }
        | Params::Provision
        | Params::Prepare { .. }
        | Params::Deprovision
        | Params::ImportImage { .. }
        | Params::RemoveImage
        | Params::CheckConnection => entry,
    }
}
