//! `cloudPcCrossCloudGovernmentOrganizationMapping`: the organization of a government cloud that
//! belongs to this one. It is kept; there is no other cloud.

use cloudpc_graph::GraphError;
use cloudpc_model::DocumentType;
use cloudpc_store::Reader;
use serde_json::Value;

use super::rights;
use crate::documents::kind::{DocumentChange, DocumentKind, Hooks, Rights, Verb};
use crate::pipeline::Problem;

static RIGHTS: Rights = rights("OrganizationSettings");

const IDS: &str = "organizationIdsInUSGovCloud";

/// `cloudPcCrossCloudGovernmentOrganizationMapping`
pub(super) static CROSS_CLOUD_MAPPING: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcCrossCloudGovernmentOrganizationMapping,
    "/deviceManagement/virtualEndpoint/crossCloudGovernmentOrganizationMapping",
    &RIGHTS,
    &[Verb::Get, Verb::Update],
    &[],
)
.one()
.hooks(&MappingHooks);

struct MappingHooks;

impl Hooks for MappingHooks {
    fn check(&self, _reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        let ids = change.new.body.get(IDS).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_guid = |id: &Value| id.as_str().is_some_and(|id| uuid::Uuid::parse_str(id).is_ok());
        let message = if ids.len() > 1 {
            format!("'{IDS}' has {} elements; at most 1 is allowed. Send one.", ids.len())
        } else if let Some(wrong) = ids.iter().find(|id| !is_guid(id)) {
            format!("The organization id {wrong} is not a GUID.")
        } else {
            return Ok(());
        };
        Err(GraphError::bad_request(message).about(IDS).into())
    }
}
