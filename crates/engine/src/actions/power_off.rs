//! Power off: shut the machine down.

use cloudpc_model::{Kind, Power};

use super::{Recipe, Subject, machine, minutes, unchanged};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::PowerOff,
    steps: &[machine::STOP],
    time_max: minutes(2 * 60),
    subject: Subject::CloudPc {
        status: None,
        complete: |ending| {
            ending.cloud_pc.power_intended = Power::PoweredOff;
            Ok(())
        },
        after_failure: unchanged,
    },
};
