//! `GET /users/$count`

use std::sync::Arc;

use super::list::Users;
use crate::pipeline::{Answer, Call, Problem, list};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    list::count(&call, Users::all(call.clone())).await
}
