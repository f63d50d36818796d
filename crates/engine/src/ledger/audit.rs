//! Audit rows of actions (one on acceptance, one if the action ends unsuccessfully or is stuck) and
//! of health events.

use cloudpc_model::{
    Action, Actor, AuditEntry, AuditResource, AuditResult, AuditVerb, CloudPc, Document, Failure, HealthEvent, Kind,
    ResourceType, State, TenantId, Timestamp,
};
use cloudpc_store::{StoreError, Tx};
use serde_json::Value;

use super::RequestContext;
use crate::target::Target;

/// Returns an audit row for a caller's request.
pub(crate) fn asked_for(
    asked: &RequestContext,
    at: Timestamp,
    verb: impl Into<AuditVerb>,
    resource: AuditResource,
) -> AuditEntry {
    let entry = AuditEntry::new(asked.tenant_id, at, asked.by.clone(), verb, resource);
    entry.by_request(&asked.request_id).repeatable(asked.request_key)
}

/// Returns the Cloud PC as an audit resource.
pub(crate) fn resource(cloud_pc: &CloudPc) -> AuditResource {
    AuditResource::new(ResourceType::CloudPc, cloud_pc.id).named(&cloud_pc.display_name)
}

/// Writes the audit row of a caller's intervention in an action, such as canceling it.
pub(crate) fn intervention(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    action: &Action,
    verb: AuditVerb,
    now: Timestamp,
) -> Result<(), StoreError> {
    let entry = asked_for(asked, now, verb, target(tx, action)?).detail("actionKind", action.kind().name());
    tx.audit_insert(&entry.detail("actionId", &action.id.to_string()))
}

/// Writes the audit row of an action that ended unsuccessfully or is stuck. Successful actions have
/// only the row of their acceptance.
pub(crate) fn end(tx: &mut Tx<'_>, action: &Action, now: Timestamp) -> Result<(), StoreError> {
    let Some(result) = result(action.state, action.failure()) else { return Ok(()) };
    let (kind, state): (Kind, &str) = (action.kind(), action.state.into());
    let entry = AuditEntry::new(action.tenant_id, now, Actor::system(), kind, target(tx, action)?)
        .ended(result, action.failure().map(|failure| &*failure.code))
        .detail("actionId", &action.id.to_string())
        .detail("actionState", state);
    tx.audit_insert(&entry)
}

/// Writes the audit row of a health event.
pub(crate) fn health(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    cloud_pc: &CloudPc,
    event: &HealthEvent,
    now: Timestamp,
) -> Result<(), StoreError> {
    let result = if event.well { AuditResult::Success } else { AuditResult::Failure };
    let entry = AuditEntry::new(tenant, now, Actor::system(), AuditVerb::CheckHealth, resource(cloud_pc))
        .ended(result, None)
        .detail(&event.name, &event.message);
    tx.audit_insert(&entry)
}

/// Returns the target of an action as an audit resource, by its id alone if it does not exist.
fn target(tx: &Tx<'_>, action: &Action) -> Result<AuditResource, StoreError> {
    let unnamed = match action.kind().document_type() {
        Some(kind) => AuditResource::new(ResourceType::Document(kind), &action.target),
        None => AuditResource::new(ResourceType::CloudPc, &action.target),
    };
    Ok(match Target::of(tx, action)? {
        Target::CloudPc(cloud_pc) => resource(&cloud_pc),
        Target::Document(document) => unnamed.named(name(&document)),
        Target::Missing => unnamed,
    })
}

/// Returns a document as an audit resource.
pub(crate) fn document(document: &Document) -> AuditResource {
    AuditResource::new(ResourceType::Document(document.key.kind), &document.key.id).named(name(document))
}

fn name(document: &Document) -> &str {
    document.body.get("displayName").and_then(Value::as_str).unwrap_or_default()
}

/// Returns the audit result of an unsuccessful action; none if the action succeeded or is open.
fn result(state: State, failure: Option<&Failure>) -> Option<AuditResult> {
    match state {
        State::Pending | State::Running | State::Undoing | State::Done => None,
        // The caller canceled it, or requested an unsupported action.
        State::Canceled | State::NotSupported => Some(AuditResult::ClientError),
        State::Failed if failure.is_some_and(super::is_timeout) => Some(AuditResult::Timeout),
        State::Failed | State::Stuck => Some(AuditResult::Failure),
    }
}
