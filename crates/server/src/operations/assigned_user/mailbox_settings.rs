//! `GET …/assignedUsers/{id}/mailboxSettings`

use serde_json::json;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

/// Answers without a single setting: users have no mailbox here.
pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    call.store().read(move |reader| super::user(&request, reader)).await?;
    let names = ["archiveFolder", "automaticRepliesSetting", "dateFormat", "delegateMeetingMessageDeliveryOptions"]
        .into_iter()
        .chain(["language", "timeFormat", "timeZone", "userPurpose", "userPurposeV2", "workingHours"]);
    let edm = call.edm.type_named("mailboxSettings");
    let declared = names.filter(|name| edm.is_some_and(|edm| edm.property(name).is_some()));
    let settings: serde_json::Map<_, _> = declared.map(|name| (name.to_owned(), json!(null))).collect();
    Ok(call.entity(&settings))
}
