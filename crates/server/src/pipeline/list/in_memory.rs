//! Collections that are small and held in memory.

use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;

use super::{Collection, PropertySet, count, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};

/// Answers with a page of a collection in memory.
pub async fn in_memory<T: Serialize + Clone + Send + 'static>(
    call: &Arc<Call>,
    rows: Vec<T>,
) -> Result<Answer, Problem> {
    in_memory_as(call, rows, |row: &T, _| row.clone()).await
}

/// Answers with a page of a collection in memory, each row converted by `view`.
pub async fn in_memory_as<T, V, F>(call: &Arc<Call>, rows: Vec<T>, view: F) -> Result<Answer, Problem>
where
    T: Clone + Send + 'static,
    V: Serialize + 'static,
    F: Fn(&T, PropertySet) -> V + Send + 'static,
{
    page(call, InMemory { rows, view }).await
}

/// Answers `$count` of a collection in memory.
pub async fn count_in_memory<T: Serialize + Clone + Send + 'static>(
    call: &Arc<Call>,
    rows: Vec<T>,
) -> Result<Answer, Problem> {
    count(call, InMemory { rows, view: |row: &T, _: PropertySet| row.clone() }).await
}

struct InMemory<T, F> {
    rows: Vec<T>,
    view: F,
}

impl<T, V, F> Collection for InMemory<T, F>
where
    T: Clone + Send + 'static,
    V: Serialize + 'static,
    F: Fn(&T, PropertySet) -> V + Send + 'static,
{
    type Row = (usize, T);

    fn rows(&self, _: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Self::Row>, Problem> {
        let start = position
            .map_or(Ok(0), |text| text.parse::<usize>().map(|last| last + 1))
            .map_err(|_| invalid_skip_token())?;
        Ok(self.rows.iter().cloned().enumerate().skip(start).take(limit).collect())
    }

    fn position(&self, row: &Self::Row) -> String {
        row.0.to_string()
    }

    fn view<'a>(&'a self, row: &'a Self::Row, set: PropertySet) -> impl Serialize + 'a {
        (self.view)(&row.1, set)
    }
}
