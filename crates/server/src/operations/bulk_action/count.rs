//! `GET …/bulkActions/$count`

use std::sync::Arc;

use super::list::BulkActions;
use crate::pipeline::list::count;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    count(&call, BulkActions(call.clone())).await
}
