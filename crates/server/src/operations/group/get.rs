//! `GET /groups/{id}`

use cloudpc_store::Reader;
use std::sync::Arc;

use super::{Shown, find, set_of};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        let group = find(&request, reader)?;
        Shown::read(&request, reader, group)
    };
    let found = call.store().read(read).await?;
    Ok(call.entity(&found.view(set_of(&call))))
}
