//! `GET /subscribedSkus`

use std::sync::Arc;

use super::{Shown, read};
use crate::pipeline::{Answer, Call, Problem, list};
use crate::views::directory::subscribed_sku;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let rows = call.store().read(move |reader| read(&request, reader)).await?;
    let view = |Shown { subscription, consumed }: &Shown, _| subscribed_sku(subscription, *consumed);
    list::in_memory_as(&call, rows, view).await
}
