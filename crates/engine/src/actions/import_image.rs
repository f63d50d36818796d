//! Import image: check the source of a device image, copy it to the host, and boot it once.
//!
//! If the action ends without success, the device image is `failed`, and a `removeImage` action
//! that is queued behind it removes the copy. Nothing has to be undone, so an import is never
//! stuck.

use cloudpc_drivers::ImageFacts;
use cloudpc_model::{Document, ImageId, Kind, Object, OsVersion, Params, State, TenantId};
use cloudpc_store::StoreError;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

use super::step::StepFuture;
use super::{DocumentEnd, Recipe, Step, StepContext, StepError, StepOutput, Subject, minutes, remove_image};
use crate::ledger::{self, RequestContext};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::ImportImage,
    steps: &[
        Step::new("checkSource", INTERNAL_ERROR, minutes(10), check_source),
        Step::new("copyImage", INTERNAL_ERROR, minutes(6 * 60), copy),
        Step::new("bootImage", INTERNAL_ERROR, minutes(30), boot),
    ],
    time_max: minutes(24 * 60),
    subject: Subject::Document { begin: |_document, _now| {}, end },
};

/// The error code of a failed import that no other code describes.
const INTERNAL_ERROR: &str = "internalServerError";

/// The error codes of a failed import: members of `cloudPcDeviceImageErrorCode`.
pub const ERROR_CODES: &[&str] = &[
    INTERNAL_ERROR,
    "sourceImageNotFound",
    "osVersionNotSupported",
    "sourceImageInvalid",
    "sourceImageNotGeneralized",
    "vmAlreadyAzureAdjoined",
    "paidSourceImageNotSupport",
    "sourceImageNotSupportCustomizeVMName",
    "sourceImageSizeExceedsLimitation",
    "sourceImageWithDataDiskNotSupported",
    "sourceImageWithDiskEncryptionSetNotSupported",
    "sourceImageWithAzureDiskEncryptionNotSupported",
    "fSLogixInstalledSourceImageNotSupported",
    "startMenuAppLimitExceeded",
];

/// Number of [`ERROR_CODES`] that the older enumeration `cloudPcDeviceImageStatusDetails` has too.
const STATUS_DETAIL_COUNT: usize = 9;

/// The tenants' turns at importing images. A driver works on few imports at a time and serves them
/// in the order of their calls, so each tenant has one call at a time: a tenant with many imports
/// delays those of another by one.
#[derive(Default)]
pub(crate) struct ImportTurns(Mutex<HashMap<TenantId, Arc<tokio::sync::Mutex<()>>>>);

impl ImportTurns {
    /// Waits for the tenant's other calls; the turn ends when the guard is dropped.
    async fn take(&self, tenant: TenantId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody else holds a turn that only the map refers to, or waits for it.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(tenant).or_default())
        };
        turn.lock_owned().await
    }
}

fn check_source(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.document()?;
        context.parts.driver.check_source(source(context)?).await?;
        Ok(StepOutput::nothing())
    })
}

fn copy(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let (image, source) = (image_id(context.document()?), source(context)?);
        let _turn = context.imports.take(context.action.tenant_id).await;
        context.parts.driver.ensure_image(&image, source).await?;
        Ok(StepOutput::nothing())
    })
}

fn boot(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let document = context.document()?;
        let _turn = context.imports.take(context.action.tenant_id).await;
        let facts = context.parts.driver.probe_image(&image_id(document)).await?;
        Ok(StepOutput::status(status(&facts, &document.body)))
    })
}

/// Returns what a boot has shown, without what the caller has stated.
fn status(facts: &ImageFacts, stated: &Object) -> Object {
    let version = facts.version_number.as_deref();
    let is_supported = version.is_some_and(|number| OsVersion::of_number(number).is_some());
    let shown = [
        ("operatingSystem", json!(facts.operating_system)),
        ("osBuildNumber", json!(facts.build_number)),
        ("osVersionNumber", json!(facts.version_number)),
        ("sizeInGB", json!(facts.size_gib)),
        ("osStatus", json!(if is_supported { "supported" } else { "unknown" })),
    ];
    let is_new = |(name, value): &(&str, Value)| !value.is_null() && !stated.contains_key(*name);
    shown.into_iter().filter(is_new).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn end(ending: &mut DocumentEnd<'_, '_>) -> Result<(), StoreError> {
    let Some(document) = ending.document.as_deref_mut() else { return Ok(()) };
    if ending.outcome == State::Done {
        set(&mut document.status, "ready", None);
        return Ok(());
    }
    let code = ending.failure.map(|failure| &*failure.code).filter(|code| ERROR_CODES.contains(code));
    set(&mut document.status, "failed", Some(code.unwrap_or(INTERNAL_ERROR)));
    if ending.action.step("copyImage").is_some() {
        let asked = RequestContext::system(ending.action.tenant_id);
        let time_max = remove_image::RECIPE.time_max;
        ledger::accept_on_document(ending.tx, &asked, document, Params::RemoveImage, time_max, ending.now)?;
    }
    Ok(())
}

fn set(status: &mut Object, word: &str, error: Option<&str>) {
    let is_detail = |code: &&str| ERROR_CODES[..STATUS_DETAIL_COUNT].contains(code);
    let detail = error.map(|code| Some(code).filter(is_detail).unwrap_or(INTERNAL_ERROR));
    status.insert("status".into(), json!(word));
    status.insert("errorCode".into(), json!(error));
    status.insert("statusDetails".into(), json!(detail));
}

/// Returns the id of the image that a device image has on the host.
pub(super) fn image_id(document: &Document) -> ImageId {
    ImageId(document.key.id.clone())
}

fn source(context: &StepContext) -> Result<&str, StepError> {
    match &context.action.params {
        Params::ImportImage { source } => Ok(source),
        _ => Err(StepError::failed("The action has no image source.")),
    }
}
