//! Reprovision: replace the disk with a new one from the image, and keep the old one for the undo
//! window.

use cloudpc_drivers::MachineSpec;
use cloudpc_model::{CloudPcStatus, DocumentKey, DocumentType, Kind, Params, Power};
use cloudpc_store::StoreError;

use super::step::StepFuture;
use super::{
    CancelMode, Completion, Recipe, Step, StepContext, StepError, StepOutput, Subject, guest_setup, machine, minutes,
    unchanged,
};
use crate::policy::{PolicySettings, connection_id};
use crate::{frontline, image};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Reprovision,
    steps: &[
        Step { act: stop, ..machine::STOP },
        machine::SET_DISK_ASIDE,
        // The undo of the previous step drops this disk as well.
        Step { cancel: CancelMode::AfterStep, ..Step::new("makeDisk", "diskFailed", minutes(40), make_disk) },
        Step { act: machine::start, ..machine::START },
        Step { act: machine::start_and_wait, ..machine::WAIT_FOR_GUEST },
        guest_setup::ENROL,
        guest_setup::DEPLOY_AGENTS,
    ],
    time_max: minutes(6 * 60),
    subject: Subject::CloudPc { status: Some(|_| CloudPcStatus::Provisioning), complete, after_failure: unchanged },
};

/// Powers the machine off. A Cloud PC whose provisioning failed has no machine: it gets one now.
fn stop(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_present(&context.spec(None, None).await?).await?;
        machine::stop(context).await
    })
}

fn make_disk(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_disk_from_image(&new_spec(context).await?, &context.tag()).await?;
        Ok(StepOutput::nothing())
    })
}

async fn new_spec(context: &StepContext) -> Result<MachineSpec, StepError> {
    let (cloud_pc, params) = (context.cloud_pc()?.clone(), context.action.params.clone());
    let plan_id = cloud_pc.service_plan_id;
    let read = context.parts.store.read(move |reader| {
        let plan = reader.service_plan(cloud_pc.tenant_id, plan_id)?;
        Ok::<_, StoreError>((image::chosen(reader, &cloud_pc, &params)?, plan))
    });
    let (image, plan) = read.await?;
    let image =
        image.ok_or_else(|| StepError::failed("The gallery no longer has an image of this operating system."))?;
    context.spec_of(plan_id, plan, Some(image.id))
}

/// A reprovisioned Cloud PC has the present settings of its policy.
fn take_policy_settings(ending: &mut Completion<'_, '_>) -> Result<(), StoreError> {
    let (tenant, id) = (ending.action.tenant_id, ending.cloud_pc.id);
    let Some(entitlement) = ending.tx.entitlement(tenant, id)? else { return Ok(()) };
    let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, &entitlement.policy_id);
    if let Some(policy) = ending.tx.document(tenant, &key)? {
        let settings = PolicySettings::of(&policy);
        ending.cloud_pc.single_sign_on = settings.single_sign_on;
        ending.cloud_pc.on_premises_connection_id = connection_id(&policy);
        if let Some(region) = settings.region {
            ending.cloud_pc.region = region;
        }
    }
    Ok(())
}

fn complete(ending: &mut Completion<'_, '_>) -> Result<(), StoreError> {
    ending.keep_undo_record(true)?;
    if let Some(image) = image::chosen(ending.tx, ending.cloud_pc, &ending.action.params)? {
        ending.cloud_pc.os_version = image.os_version;
        ending.cloud_pc.image_id = image.id;
    }
    take_policy_settings(ending)?;
    if ending.cloud_pc.is_shared() {
        frontline::activate(ending.tx, ending.cloud_pc, ending.now)?;
    }
    let cloud_pc = &mut *ending.cloud_pc;
    if let Params::Reprovision { user_account_type: Some(wanted), .. } = ending.action.params {
        cloud_pc.user_account_type = wanted;
    }
    cloud_pc.status = CloudPcStatus::Provisioned;
    cloud_pc.status_detail = None;
    cloud_pc.power_intended = Power::Running;
    cloud_pc.provisioned_at = Some(ending.now);
    // The directory sees a new device; device management sees the same one (see the model).
    cloud_pc.aad_device_id = guest_setup::derived_id(ending.action, cloud_pc.id.0);
    Ok(())
}
