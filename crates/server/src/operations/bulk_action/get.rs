//! `GET …/bulkActions/{id}`

use cloudpc_store::Reader;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::bulk_action::{BulkActionRow, bulk_action};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read =
        move |reader: &Reader<'_>| Ok::<_, Problem>(BulkActionRow::read(reader, super::find(&request, reader)?)?);
    let row = call.store().read(read).await?;
    Ok(call.entity(&bulk_action(&row)))
}
