//! `GET /deviceManagement/managedDevices/$count`

use std::sync::Arc;

use super::list::ManagedDevices;
use crate::pipeline::list::count;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    count(&call, ManagedDevices::new(&call)).await
}
