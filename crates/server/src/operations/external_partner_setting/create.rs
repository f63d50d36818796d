//! `POST …/externalPartnerSettings`

use std::sync::Arc;

use crate::operations::partner;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let created = partner::create::create(&call).await?;
    Ok(call.created(&created.id.to_string(), &super::view(&call, &created)))
}
