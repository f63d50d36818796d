//! `cloudPcOrganizationSettings`: what new Cloud PCs of a tenant are like, unless asked otherwise.

use cloudpc_model::DocumentType;

use super::rights;
use crate::documents::kind::Const::{Bool, Text};
use crate::documents::kind::Fact::Default;
use crate::documents::kind::{DocumentKind, Rights, Verb};

static RIGHTS: Rights = rights("OrganizationSettings");

/// `cloudPcOrganizationSettings`
pub(super) static ORGANIZATION_SETTINGS: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcOrganizationSettings,
    "/deviceManagement/virtualEndpoint/organizationSettings",
    &RIGHTS,
    &[Verb::Get, Verb::Update],
    &[
        Default("enableMEMAutoEnroll", Bool(false)),
        Default("enableSingleSignOn", Bool(false)),
        Default("osVersion", Text("windows11")),
        Default("userAccountType", Text("standardUser")),
        Default("windowsSettings/language", Text("en-US")),
    ],
)
.one();
