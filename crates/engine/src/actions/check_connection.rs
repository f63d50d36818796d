//! Check connection: run the health checks of an on-premises connection, and store each result.

use cloudpc_model::Kind;
use serde_json::json;

use super::{Recipe, Subject, minutes};

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::CheckConnection,
    steps: &[],
    time_max: minutes(2 * 60),
    subject: Subject::Document {
        begin: |document, _now| {
            document.status.insert("healthCheckStatus".into(), json!("running"));
        },
        end: |_ending| Ok(()),
    },
};
