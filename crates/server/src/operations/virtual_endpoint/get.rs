//! `GET …/virtualEndpoint`, `…/reports` and `…/report`: containers that have nothing but an id.

use serde_json::json;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    Ok(call.entity(&json!({"id": call.tenant().to_string()})))
}
