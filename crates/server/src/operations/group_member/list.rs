//! `GET /groups/{id}/members`

use std::sync::Arc;

use super::group_id;
use crate::operations::user::list::Users;
use crate::pipeline::list::page;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let group = group_id(&call).await?;
    page(&call, Users::members(call.clone(), group)).await
}
