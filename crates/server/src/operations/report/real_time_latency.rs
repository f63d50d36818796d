//! `GET …/reports/getRealTimeRemoteConnectionLatency(cloudPcId='{id}')`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::reports::{self, table};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let cloud_pc = super::cloud_pc(&call).await?;
    let table = table("realTimeRemoteConnectionLatency").expect("the report exists");
    reports::answer_for(&call, table, cloud_pc).await
}
