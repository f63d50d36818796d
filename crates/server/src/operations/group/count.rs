//! `GET /groups/$count`

use std::sync::Arc;

use super::list::Groups;
use crate::pipeline::{Answer, Call, Problem, list};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    list::count(&call, Groups(call.clone())).await
}
