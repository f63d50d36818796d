//! Import image: check the source of a device image, copy it to the host and boot it once.

use cloudpc_model::Kind;
use serde_json::json;

use super::{Recipe, Subject, minutes};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::ImportImage,
    steps: &[],
    time_max: minutes(24 * 60),
    subject: Subject::Document {
        begin: |document, _now| {
            document.status.insert("status".into(), json!("pending"));
        },
        end: |_ending| Ok(()),
    },
};
