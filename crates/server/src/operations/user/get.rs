//! `GET /users/{id}` and `GET /me`

use cloudpc_store::Reader;
use std::sync::Arc;

use super::{Shown, find_readable, set_of};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        let user = find_readable(&request, reader)?;
        Shown::read(&request, reader, user)
    };
    let found = call.store().read(read).await?;
    Ok(call.entity(&found.view(&call, set_of(&call))))
}
