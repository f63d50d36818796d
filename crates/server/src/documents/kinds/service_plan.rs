//! `cloudPcServicePlan`: the sizes of Cloud PCs. The installation states them.

use cloudpc_model::DocumentType;

use super::rights;
use crate::documents::kind::{DocumentKind, READ_ONLY, Rights};

static RIGHTS: Rights = rights("ServicePlan");

/// `cloudPcServicePlan`
pub(super) static SERVICE_PLAN: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcServicePlan,
    "/deviceManagement/virtualEndpoint/servicePlans",
    &RIGHTS,
    READ_ONLY,
    &[],
);
