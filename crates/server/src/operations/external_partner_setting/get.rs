//! `GET …/externalPartnerSettings/{id}`

use std::sync::Arc;

use crate::operations::partner;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let found = call.store().read(move |reader| partner::find(&request, reader)).await?;
    Ok(call.entity(&super::view(&call, &found)))
}
