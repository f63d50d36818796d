//! Remove image: remove from the host what was copied for a device image that was deleted, is
//! imported again, or has failed. Machines keep the disks that were made from it.

use cloudpc_model::{ImageId, Kind};

use super::step::StepFuture;
use super::{Recipe, Step, StepContext, StepOutput, Subject, minutes};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::RemoveImage,
    // A copy in progress is not interrupted, so the step waits as long as one may take.
    steps: &[Step::new("removeImage", "internalServerError", minutes(6 * 60), remove)],
    time_max: minutes(3 * 24 * 60),
    subject: Subject::Document { begin: |_document, _now| {}, end: |_ending| Ok(()) },
};

fn remove(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.parts.driver.ensure_image_absent(&ImageId(context.action.target.clone())).await?;
        Ok(StepOutput::nothing())
    })
}
