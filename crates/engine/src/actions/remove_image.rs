//! Remove image: remove from the host what was copied for a device image that was deleted, is
//! uploaded again, or has failed.
//!
//! While machines are based on the image, the action waits until its deadline.

use cloudpc_drivers::DriverError;
use cloudpc_model::{ImageId, Kind};

use super::step::StepFuture;
use super::{Recipe, Step, StepContext, StepError, StepOutput, Subject, minutes};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::RemoveImage,
    steps: &[Step::new("removeImage", "internalServerError", minutes(10), remove)],
    time_max: minutes(30 * 24 * 60),
    subject: Subject::Document { begin: |_document, _now| {}, end: |_ending| Ok(()) },
};

fn remove(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let image = ImageId(context.action.target.clone());
        match context.parts.driver.ensure_image_absent(&image).await {
            Ok(()) => Ok(StepOutput::nothing()),
            Err(error @ DriverError::Conflict(_)) => Err(StepError::Waiting(error.to_string())),
            Err(error) => Err(error.into()),
        }
    })
}
