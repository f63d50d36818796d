//! The ledger of actions: rows of their acceptance and end, each with its audit row, written in the
//! caller's transaction.
//!
//! The ledger is below [`crate::actions`]: steps use it to accept and end other actions, so it
//! knows no recipe.

pub(crate) mod audit;

use cloudpc_model::{
    Action, ActionId, ActivityId, Actor, AgentSetting, AuditResource, AuditVerb, BulkActionId, Document, EventKind,
    Failure, Kind, Params, Partner, RequestKey, ResourceType, State, StepRecord, StepState, TenantId, Timestamp,
};
use cloudpc_store::{NewAction, Report, ReportType, StoreError, Tx};
use std::time::Duration;

/// Caller of a request and the request's id.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Tenant of the caller.
    pub tenant_id: TenantId,
    /// Caller.
    pub by: Actor,
    /// Request id for the audit log.
    pub request_id: String,
    /// What a repeat of the request is recognised by, if it can be.
    pub request_key: Option<RequestKey>,
    /// The bulk action that the request is an item of.
    pub bulk_action_id: Option<BulkActionId>,
}

impl RequestContext {
    /// Returns the service itself as the requester of an action.
    pub(crate) fn system(tenant_id: TenantId) -> Self {
        Self { tenant_id, by: Actor::system(), request_id: String::new(), request_key: None, bulk_action_id: None }
    }
}

/// One agent to be deployed to several targets.
#[derive(Clone, Copy)]
pub(crate) struct Deployments<'a> {
    pub partner: &'a Partner,
    pub agent: &'a AgentSetting,
    pub activity_id: ActivityId,
    /// Cloud PCs as named by the caller.
    pub targets: &'a [String],
    /// Time from the request to the deadline of each action.
    pub time_max: Duration,
}

/// Writes the action, result row and report of each target, and one audit row for all.
pub(crate) fn accept_deployments(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    deployments: &Deployments<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (by, Deployments { partner, agent, activity_id, targets, time_max }) = (&asked.by, *deployments);
    let resource = AuditResource::new(ResourceType::ExternalPartner, partner.id).named(&partner.partner_id);
    let entry = audit::asked_for(asked, now, AuditVerb::DeployAgent, resource)
        .detail("activityId", &activity_id.to_string())
        .detail("cloudPcs", &targets.len().to_string());
    tx.audit_insert(&entry)?;
    for target in targets {
        let cloud_pc = match target.parse() {
            Ok(id) => tx.cloud_pc(partner.tenant_id, id)?,
            Err(_) => None,
        };
        let params = Params::DeployAgent { partner_id: partner.id, activity_id, agent: agent.clone() };
        tx.action_insert(&NewAction {
            tenant_id: partner.tenant_id,
            target: target.clone(),
            deadline_at: now + time_max,
            params,
            requested_by: by.clone(),
            bulk_action_id: None,
            requested_at: now,
            // The activity id is random and new for each call.
            tag_nonce: activity_id.0.as_u64_pair().1,
            idempotency_key: None,
        })?;
        let name = cloud_pc.map(|cloud_pc| cloud_pc.managed_device_name).unwrap_or_default();
        tx.report_insert(&Report {
            id: 0,
            tenant_id: partner.tenant_id,
            partner_id: partner.id,
            report_type: ReportType::DeployAgent,
            actor: by.clone(),
            created_at: now,
            message: match &*name {
                "" => format!(
                    "Requested deployment of {} to '{target}', which is not a known Cloud PC.",
                    agent.agent_name()
                ),
                name => format!("Requested deployment of {} to {name}.", agent.agent_name()),
            },
            target: target.clone(),
            cloud_pc_name: name,
            agent_name: agent.agent_name().to_owned(),
            activity_id: Some(activity_id),
            agent: None,
        })?;
    }
    Ok(())
}

/// Accepts an action on a document, with its audit row.
pub(crate) fn accept_on_document(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    document: &Document,
    params: Params,
    time_max: Duration,
    now: Timestamp,
) -> Result<ActionId, StoreError> {
    let entry = audit::asked_for(asked, now, params.kind(), audit::document(document));
    let action = tx.action_insert(&NewAction {
        tenant_id: document.tenant_id,
        target: document.key.id.clone(),
        params,
        requested_by: asked.by.clone(),
        bulk_action_id: None,
        requested_at: now,
        deadline_at: now + time_max,
        // No machine carries a tag of these actions, so the tag need not be unique.
        tag_nonce: 0,
        idempotency_key: None,
    })?;
    tx.audit_insert(&entry.detail("actionId", &action.to_string()))?;
    Ok(action)
}

/// Ends a pending action as canceled.
pub(crate) fn end_pending(
    tx: &mut Tx<'_>,
    action: &Action,
    by: &Actor,
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.action_append(action.id, action.epoch, now, EventKind::CancelRequested { by: by.clone() })?;
    let failure = Some(canceled(action, why));
    let ended = EventKind::Finished { outcome: State::Canceled, failure };
    let action = tx.action_append(action.id, action.epoch, now, ended)?;
    audit::end(tx, &action, now)
}

/// Returns the failure of a canceled action. The contract has no such code for deployments, so
/// theirs is `none`.
pub(crate) fn canceled(action: &Action, message: impl Into<String>) -> Failure {
    let code = if action.kind() == Kind::DeployAgent { "none" } else { "canceled" };
    Failure { code: code.into(), message: message.into() }
}

const TIMEOUT: &str = "actionTimeout";
const TIMEOUT_DEPLOYMENT: &str = "executeActionTimeout";

/// Returns whether a failure is an expired deadline.
pub(crate) fn is_timeout(failure: &Failure) -> bool {
    [TIMEOUT, TIMEOUT_DEPLOYMENT].contains(&&*failure.code)
}

/// Returns the failure of an action whose deadline expired.
pub(crate) fn timed_out(action: &Action) -> Failure {
    let code = if action.kind() == Kind::DeployAgent { TIMEOUT_DEPLOYMENT } else { TIMEOUT };
    let message = match action.steps.last() {
        Some(StepRecord { name, state: StepState::Waiting, message: Some(message), .. }) => {
            format!("The action timed out at {} while step '{name}' was waiting: {message}", action.deadline_at)
        }
        Some(step) => format!("The action timed out at {} in step '{}'.", action.deadline_at, step.name),
        None => format!(
            "The action timed out at {} while waiting for earlier actions on the Cloud PC. Retry after they have ended.",
            action.deadline_at
        ),
    };
    Failure { code: code.into(), message }
}
