//! `GET …/snapshots/$count`

use std::sync::Arc;

use super::list::Snapshots;
use crate::pipeline::list::count;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    count(&call, Snapshots::of_tenant(&call)).await
}
