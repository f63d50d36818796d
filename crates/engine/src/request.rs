//! Taking requests for remote actions: validation, admission, the action row, its first event and the audit row in one transaction.
//!
//! An accepted action changes nothing about its Cloud PC yet. The status turns to `provisioning`, `resizing` or `restoring` when the action
//! begins: until then the machine is as usable as it was, and a deployment ahead in line has to find it so.

use cloudpc_model::{
    ActionId, Actor, Admission, CloudPc, CloudPcId, Denial, Error, ErrorKind, Kind, Params, TenantId, Timestamp, admit,
};
use cloudpc_store::{AuditEntry, NewAction, StoreError, Tx};

use crate::actions::{DISPLAY_NAME_CHARS_MAX, recipe};
use crate::{Engine, image};

/// Who asks, and by which request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The tenant of the caller.
    pub tenant_id: TenantId,
    /// The caller.
    pub by: Actor,
    /// The request, for the audit log.
    pub request_id: String,
}

impl Engine {
    /// Asks for a remote action on a Cloud PC. When this returns, the action is on disk.
    ///
    /// # Errors
    /// Not found; conflict (`remoteActionInProgress` naming the open action, `cloudPcStatusNotAllowed`); invalid (an unknown service plan or restore point).
    pub async fn request(&self, asked: &Asked, cloud_pc: CloudPcId, params: Params) -> Result<ActionId, Error> {
        let (asked, now) = (asked.clone(), self.parts.clock.now());
        let id = self.parts.store.write(move |tx| request(tx, &asked, cloud_pc, params, now)).await?;
        self.work.wake.notify_one();
        Ok(id)
    }
}

fn request(tx: &mut Tx<'_>, asked: &Asked, id: CloudPcId, params: Params, now: Timestamp) -> Result<ActionId, Error> {
    let tenant = asked.tenant_id;
    let cloud_pc = tx
        .cloud_pc(tenant, id)?
        .ok_or_else(|| Error::not_found(format!("There is no Cloud PC '{id}' in this tenant.")))?;
    validate(tx, &cloud_pc, &params)?;
    let target = id.to_string();
    let kind = params.kind();
    if let Admission::Deny(denial) = admit(kind, cloud_pc.status, tx.action_open_remote(tenant, &target)?) {
        return Err(denied(&denial));
    }
    let inserted = tx.action_insert(&NewAction {
        tenant_id: tenant,
        target: target.clone(),
        params,
        requested_by: asked.by.clone(),
        requested_at: now,
        deadline_at: now + recipe(kind).time_max,
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
    audit(tx, &asked.by, &target, tenant, now, activity(kind), asked.request_id.clone())?;
    Ok(action)
}

/// Refuses what could never work, so that it is the caller's answer and not the action's result.
fn validate(tx: &Tx<'_>, cloud_pc: &CloudPc, params: &Params) -> Result<(), Error> {
    let tenant = cloud_pc.tenant_id;
    match params {
        Params::Reprovision { os_version, .. } => {
            if image::choose(tx, cloud_pc, *os_version)?.is_none() {
                return Err(Error::invalid("The gallery has no image to reprovision this Cloud PC from."));
            }
        }
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
        Params::DeployAgent { .. } => return Err(Error::invalid("An agent is deployed by its partner.")),
        Params::Reboot | Params::PowerOn | Params::PowerOff | Params::Troubleshoot => {}
    }
    Ok(())
}

fn denied(denial: &Denial) -> Error {
    let code = match denial {
        Denial::RemoteActionInProgress(_) => "remoteActionInProgress",
        Denial::Status { .. } => "cloudPcStatusNotAllowed",
    };
    Error::new(ErrorKind::Conflict, code, denial.to_string())
}

/// What the audit log calls a kind of action, e.g. `Reprovision CloudPC`.
pub(crate) fn activity(kind: Kind) -> String {
    let (first, rest) = kind.name().split_at(1);
    format!("{}{rest} CloudPC", first.to_ascii_uppercase())
}

/// Writes an audit row about a Cloud PC.
pub(crate) fn audit(
    tx: &mut Tx<'_>,
    by: &Actor,
    target: &str,
    tenant_id: TenantId,
    at: Timestamp,
    activity: String,
    request_id: String,
) -> Result<(), StoreError> {
    tx.audit_insert(&AuditEntry {
        id: 0,
        tenant_id,
        at,
        actor: by.clone(),
        activity,
        resource_type: "CloudPC".into(),
        resource_id: target.to_owned(),
        request_id,
    })
}
