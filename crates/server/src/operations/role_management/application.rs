//! `GET /roleManagement/cloudPC`

use serde_json::json;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn get(call: Arc<Call>) -> Result<Answer, Problem> {
    Ok(call.entity(&json!({ "id": "cloudPC" })))
}
