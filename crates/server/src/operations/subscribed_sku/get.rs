//! `GET /subscribedSkus/{id}`

use std::sync::Arc;

use super::read;
use crate::pipeline::{Answer, Call, Problem};
use crate::views::directory::{sku_key, subscribed_sku};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let rows = call.store().read(move |reader| read(&request, reader)).await?;
    let found = rows.iter().find(|row| sku_key(&row.subscription).eq_ignore_ascii_case(call.key(0)));
    let row = found.ok_or_else(|| Problem::not_found("subscribedSku", call.key(0)))?;
    Ok(call.entity(&subscribed_sku(&row.subscription, row.consumed)))
}
