//! `GET …/cloudPCs/{id}/cloudpc.actions/{action-id}`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::action::{ActionRow, action};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &cloudpc_store::Reader<'_>| {
        let found = super::find(&request, reader)?;
        Ok::<_, Problem>(ActionRow::read(reader, found)?)
    };
    let row = call.store().read(read).await?;
    Ok(call.entity(&action(&row)))
}
