//! `cloudPcAuditEvent`

use cloudpc_graph::Version;
use cloudpc_model::{ActorKind, AppId, AuditChange, AuditEntry, AuditResult, OperationType, UserId};
use cloudpc_store::audit_columns as column;
use serde::Serialize;
use std::net::IpAddr;

use super::{Shown, Time, none_if_empty};
use crate::pipeline::list::ListProperty;

/// `cloudPcAuditEvent`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEventView<'a> {
    id: String,
    display_name: String,
    component_name: &'static str,
    activity: Option<&'a str>,
    activity_date_time: Time,
    activity_type: String,
    activity_operation_type: OperationType,
    activity_result: AuditResult,
    correlation_id: &'a str,
    category: &'static str,
    actor: AuditActorView<'a>,
    resources: [AuditResourceView<'a>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditActorView<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    actor_type: Option<&'static str>,
    user_permissions: [(); 0],
    application_id: Option<Shown<AppId>>,
    application_display_name: Option<&'a str>,
    user_principal_name: Option<&'a str>,
    service_principal_name: Option<&'a str>,
    ip_address: Option<IpAddr>,
    user_id: Option<Shown<UserId>>,
    user_role_scope_tags: [(); 0],
    remote_tenant_id: Option<&'a str>,
    remote_user_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditResourceView<'a> {
    display_name: Option<&'a str>,
    resource_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_type: Option<&'a str>,
    modified_properties: Vec<AuditPropertyView<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditPropertyView<'a> {
    display_name: &'a str,
    old_value: Option<&'a str>,
    new_value: &'a str,
}

/// Returns the view of an audit entry.
pub fn audit_event(entry: &AuditEntry, version: Version) -> AuditEventView<'_> {
    let beta = version == Version::Beta;
    AuditEventView {
        id: entry.id.to_string(),
        display_name: entry.activity(),
        component_name: "cloudpc",
        activity: None,
        activity_date_time: Time(entry.at),
        activity_type: entry.activity(),
        activity_operation_type: entry.verb.operation_type(),
        activity_result: entry.result,
        correlation_id: &entry.request_id,
        category: "cloudPC",
        actor: AuditActorView {
            actor_type: beta.then_some(match entry.actor.kind {
                ActorKind::User => "itPro",
                ActorKind::Application | ActorKind::System => "application",
            }),
            user_permissions: [],
            application_id: entry.actor.app_id.map(Shown),
            application_display_name: none_if_empty(&entry.actor.app_name),
            user_principal_name: none_if_empty(&entry.actor.user_principal_name),
            service_principal_name: None,
            ip_address: entry.actor.ip_address,
            user_id: entry.actor.user_id.map(Shown),
            user_role_scope_tags: [],
            remote_tenant_id: None,
            remote_user_id: None,
        },
        resources: [AuditResourceView {
            display_name: none_if_empty(&entry.resource.display_name),
            resource_id: &entry.resource.id,
            resource_type: beta.then_some(entry.resource.kind.name()),
            modified_properties: entry.changes.iter().map(changed_property).collect(),
        }],
    }
}

/// Returns how the store holds a property that a filter names; none if it cannot select by it.
pub fn property(path: &str) -> Option<ListProperty> {
    Some(match path {
        "activityDateTime" => ListProperty::Time { column: column::AT, nullable: false },
        "activityResult" => ListProperty::text(column::RESULT),
        "correlationId" => ListProperty::AnyCase { column: column::REQUEST_ID, nullable: false },
        _ => return None,
    })
}

fn changed_property(change: &AuditChange) -> AuditPropertyView<'_> {
    AuditPropertyView { display_name: &change.name, old_value: change.old.as_deref(), new_value: &change.new }
}
