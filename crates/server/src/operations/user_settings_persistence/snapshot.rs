//! `…/userSettingsPersistenceDetail/userProfileSnapshots`: none, since no profile is stored here.

use cloudpc_store::Reader;
use serde_json::{Value, json};
use std::sync::Arc;

use super::check_assignment;
use crate::pipeline::list::{self, Collection, PropertySet, in_memory};
use crate::pipeline::{Answer, Call, Problem};

pub async fn list(call: Arc<Call>) -> Result<Answer, Problem> {
    check_assignment(&call).await?;
    in_memory(&call, Vec::<Value>::new()).await
}

pub async fn count(call: Arc<Call>) -> Result<Answer, Problem> {
    check_assignment(&call).await?;
    list::count(&call, Nothing).await
}

pub async fn get(call: Arc<Call>) -> Result<Answer, Problem> {
    check_assignment(&call).await?;
    Err(missing(&call))
}

pub async fn restore(call: Arc<Call>) -> Result<Answer, Problem> {
    call.required_text("targetAssignmentId")?;
    check_assignment(&call).await?;
    Err(missing(&call))
}

fn missing(call: &Call) -> Problem {
    Problem::not_found("user profile snapshot", call.key(2))
}

/// A collection without rows.
struct Nothing;

impl Collection for Nothing {
    type Row = ();

    fn rows(&self, _: &Reader<'_>, _: Option<&str>, _: usize) -> Result<Vec<()>, Problem> {
        Ok(Vec::new())
    }

    fn position(&self, (): &()) -> String {
        String::new()
    }

    fn view<'a>(&'a self, (): &'a (), _: PropertySet) -> impl serde::Serialize + 'a {
        json!({})
    }
}
