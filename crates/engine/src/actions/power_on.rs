//! Power on: start the machine and wait for its guest.

use cloudpc_model::{Kind, Power};

use super::{CancelMode, Recipe, Step, Subject, machine, minutes, unchanged};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::PowerOn,
    steps: &[
        Step {
            cancel: CancelMode::AfterStep,
            powers: true,
            ..Step::new("start", "startFailed", minutes(5), machine::start)
        }
        .undone_by(machine::restore_power_off),
        Step { act: machine::start_and_wait, ..machine::WAIT_FOR_GUEST },
    ],
    time_max: minutes(2 * 60),
    subject: Subject::CloudPc {
        status: None,
        complete: |ending| {
            ending.cloud_pc.power_intended = Power::Running;
            Ok(())
        },
        after_failure: unchanged,
    },
};
