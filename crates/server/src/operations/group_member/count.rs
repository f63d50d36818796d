//! `GET /groups/{id}/members/$count`

use std::sync::Arc;

use super::group_id;
use crate::operations::user::list::Users;
use crate::pipeline::{Answer, Call, Problem, list};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let group = group_id(&call).await?;
    list::count(&call, Users::members(call.clone(), group)).await
}
