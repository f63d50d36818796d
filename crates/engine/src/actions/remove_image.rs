//! Remove image: remove the image of a deleted or failed device image from the host.

use cloudpc_model::Kind;

use super::{Recipe, Subject, minutes};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::RemoveImage,
    steps: &[],
    time_max: minutes(7 * 24 * 60),
    subject: Subject::Document { begin: |_document, _now| {}, end: |_ending| Ok(()) },
};
