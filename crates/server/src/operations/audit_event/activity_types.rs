//! `GET …/auditEvents/getAuditActivityTypes()`

use cloudpc_model::AuditVerb::{self, *};
use cloudpc_model::DocumentType::*;
use cloudpc_model::{Kind, ResourceType};
use std::collections::BTreeSet;
use std::sync::Arc;
use strum::IntoEnumIterator as _;

use crate::documents;
use crate::pipeline::list::in_memory;
use crate::pipeline::{Answer, Call, Problem};

/// What is written beyond the actions and the writes of documents.
const OTHERS: &[(ResourceType, &[AuditVerb])] = &[
    (
        ResourceType::CloudPc,
        &[CancelAction, SettleAction, CheckHealth, Update, Inject, OpenDesktop, SetReviewStatus, SyncDevice],
    ),
    (ResourceType::BulkAction, &[Create, Retry]),
    (ResourceType::Document(CloudPcProvisioningPolicy), &[ApplyPolicy, ScheduleApplyPolicy]),
    (ResourceType::Document(CloudPcCloudApp), &[Publish, Unpublish, Reset]),
    (ResourceType::Document(Webhook), &[Update]),
    (ResourceType::ExternalPartner, &[Create, Update, Delete, ConfigureAgent, DeployAgent, SetDetection, AllowUrls]),
    (ResourceType::User, &[Create, Update, Delete, SignIn]),
    (ResourceType::Group, &[Create, Update, Delete]),
    (ResourceType::Application, &[Create, Update, Delete, Enable, Disable, Grant, Revoke, Rotate, SignIn]),
    (ResourceType::AccessToken, &[Create, Revoke]),
];

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    in_memory(&call, activity_types().into_iter().collect()).await
}

/// Every `activityType` of a tenant's audit log.
pub fn activity_types() -> BTreeSet<String> {
    let actions = Kind::iter().map(|kind| {
        let subject = match kind {
            Kind::ImportImage | Kind::RemoveImage => ResourceType::Document(CloudPcDeviceImage),
            Kind::CheckConnection => ResourceType::Document(CloudPcOnPremisesConnection),
            _ => ResourceType::CloudPc,
        };
        (AuditVerb::from(kind), subject)
    });
    let others = OTHERS.iter().flat_map(|(resource, verbs)| verbs.iter().map(|verb| (*verb, *resource)));
    let all = actions.chain(documents::audited()).chain(others);
    all.map(|(verb, resource)| format!("{} {}", verb.display_name(), resource.name())).collect()
}
