//! Operations on external partners, their agents and deployments.

pub(super) mod allow_urls;
pub(super) mod configure_agent;
pub(super) mod count;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod deploy_agent;
pub(super) mod get;
pub(super) mod heartbeat;
pub(super) mod list;
pub(super) mod reports;
pub(super) mod results;
pub(super) mod set_detection;
pub(super) mod update;

use cloudpc_model::{AuditEntry, AuditResource, AuditVerb, Partner, PartnerId, ResourceType};
use cloudpc_store::Reader;

pub(super) use deploy_agent::CLOUD_PC_ID_BYTES_MAX;

use crate::pipeline::{Call, Problem};
use crate::views::partner::{PartnerView, partner};

/// Returns the partner in the path.
pub(super) fn find(call: &Call, reader: &Reader<'_>) -> Result<Partner, Problem> {
    let id: PartnerId = call.id(0, "external partner")?;
    reader.partner(call.tenant(), id)?.ok_or_else(|| Problem::not_found("external partner", call.key(0)))
}

/// Returns the view of a partner at the current time.
pub(super) fn view<'a>(call: &Call, found: &'a Partner) -> PartnerView<'a> {
    partner(found, call.at, call.app.heartbeat_silence_max)
}

/// Returns the audit entry of a change to a partner.
fn audit(call: &Call, verb: AuditVerb, partner: &Partner) -> AuditEntry {
    call.audit(verb, AuditResource::new(ResourceType::ExternalPartner, partner.id).named(&partner.partner_id))
}
