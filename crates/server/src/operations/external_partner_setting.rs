//! Operations on external partner settings: the older form of external partners, over the same
//! rows.

pub(super) mod create;
pub(super) mod get;
pub(super) mod list;
pub(super) mod update;

use cloudpc_model::Partner;
use serde::Serialize;
use serde_json::{Value, json};

use super::partner;
use crate::pipeline::Call;

/// `cloudPcExternalPartnerSetting`: a partner without its agent, whose `connectionStatus` is called
/// `status`.
fn view(call: &Call, found: &Partner) -> impl Serialize + use<> {
    let mut shown = json!(partner::view(call, found));
    if let Value::Object(shown) = &mut shown {
        shown.remove("agentSetting");
        let status = shown.remove("connectionStatus").unwrap_or_default();
        shown.insert("status".into(), status);
    }
    shown
}
