//! Power off.

use cloudpc_model::{Kind, Power};

use super::{Recipe, as_before, machine, minutes};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::PowerOff,
    steps: &[machine::STOP],
    time_max: minutes(2 * 60),
    status: None,
    done: |ending| {
        ending.cloud_pc.power_intended = Power::PoweredOff;
        Ok(())
    },
    left: as_before,
};
