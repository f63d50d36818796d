//! Rename: change the display name. The machine is not involved, so there are no steps.

use cloudpc_model::{Kind, Params};

use super::{Recipe, Subject, minutes, unchanged};

/// Most characters of a display name.
pub(crate) const DISPLAY_NAME_CHARS_MAX: usize = 64;

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::Rename,
    steps: &[],
    time_max: minutes(60),
    subject: Subject::CloudPc {
        status: None,
        complete: |ending| {
            if let Params::Rename { display_name } = &ending.action.params {
                ending.cloud_pc.display_name.clone_from(display_name);
            }
            Ok(())
        },
        after_failure: unchanged,
    },
};
