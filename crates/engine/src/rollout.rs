//! Rollouts: requests that bring settings of changed provisioning policies to existing Cloud PCs,
//! at once or by a schedule.
//!
//! A request stores which Cloud PCs have to be changed; the reconciler ([`crate::run`]) accepts an
//! action for each of them.

use cloudpc_model::{
    ApplySchedule, AuditResource, AuditVerb, CloudPcId, Document, DocumentKey, DocumentType, Error, PolicySettingTypes,
    ResourceType, Rollout, TenantId, Timestamp,
};
use cloudpc_store::{PolicySchedule, Reader, StoreError, Tx};
use std::collections::BTreeMap;

use crate::Engine;
use crate::ledger::{RequestContext, audit};
use crate::policy::PolicySettings;

impl Engine {
    /// Brings settings of a policy to each of its Cloud PCs that differs. `reserve_percentage` of
    /// its Cloud PCs stay usable meanwhile. A rollout in progress is joined.
    ///
    /// # Errors
    /// Not found; the store fails.
    pub async fn apply_policy(
        &self,
        asked: &RequestContext,
        policy: &str,
        settings: PolicySettingTypes,
        reserve_percentage: u32,
    ) -> Result<(), Error> {
        let (asked, policy, now) = (asked.clone(), policy.to_owned(), self.parts.clock.now());
        let written = self.parts.store.write("policy.apply", move |tx| {
            let document = find(tx, asked.tenant_id, &policy)?;
            Ok::<_, Error>(apply_to_all(tx, &asked, &document, settings, reserve_percentage, now)?)
        });
        written.await
    }

    /// Brings settings of their policies to these Cloud PCs.
    ///
    /// # Errors
    /// Invalid, if a Cloud PC is not one of the tenant or was not made by a policy; the store
    /// fails.
    pub async fn apply_policies_to(
        &self,
        asked: &RequestContext,
        cloud_pcs: Vec<CloudPcId>,
        settings: PolicySettingTypes,
    ) -> Result<(), Error> {
        let (asked, now) = (asked.clone(), self.parts.clock.now());
        let written = self.parts.store.write("policy.applyTo", move |tx| {
            for (policy, cloud_pcs) in by_policy(tx, asked.tenant_id, &cloud_pcs)? {
                let document = find(tx, asked.tenant_id, &policy)?;
                begin(tx, &asked, &document, settings, None, now)?;
                for id in cloud_pcs {
                    tx.rollout_add(asked.tenant_id, &document.key.id, id, settings)?;
                }
            }
            Ok::<_, Error>(())
        });
        written.await
    }

    /// Sets the schedule by which a policy is applied; none: switches it off.
    ///
    /// # Errors
    /// Not found; the store fails.
    pub async fn schedule_policy(
        &self,
        asked: &RequestContext,
        policy: &str,
        schedule: Option<ApplySchedule>,
    ) -> Result<(), Error> {
        let (asked, policy, now) = (asked.clone(), policy.to_owned(), self.parts.clock.now());
        let written = self.parts.store.write("policy.schedule", move |tx| {
            let document = find(tx, asked.tenant_id, &policy)?;
            let cron = match &schedule {
                None => {
                    tx.policy_schedule_delete(asked.tenant_id, &document.key.id)?;
                    String::new()
                }
                Some(schedule) => {
                    tx.policy_schedule_put(&PolicySchedule {
                        tenant_id: asked.tenant_id,
                        policy_id: document.key.id.clone(),
                        schedule: schedule.clone(),
                        next_run_at: schedule.next_run(now),
                    })?;
                    schedule.cron.as_str().to_owned()
                }
            };
            let entry = audit::asked_for(&asked, now, AuditVerb::ScheduleApplyPolicy, resource(&document));
            tx.audit_insert(&entry.detail("cronScheduleExpression", &cron))?;
            Ok::<_, Error>(())
        });
        written.await
    }
}

/// Returns whether a Cloud PC of a policy differs from it in a setting that a rollout brings.
///
/// # Errors
/// The store fails.
pub fn has_unapplied_update(reader: &Reader<'_>, policy: &Document) -> Result<bool, StoreError> {
    let values = PolicySettings::of(policy).values(PolicySettingTypes::ALL);
    reader.rollout_is_outdated(policy.tenant_id, &policy.key.id, &values)
}

/// Returns the policies of these Cloud PCs, with the Cloud PCs of each.
fn by_policy(
    reader: &Reader<'_>,
    tenant: TenantId,
    cloud_pcs: &[CloudPcId],
) -> Result<BTreeMap<String, Vec<CloudPcId>>, Error> {
    let mut policies: BTreeMap<String, Vec<CloudPcId>> = BTreeMap::new();
    for id in cloud_pcs {
        let Some(entitlement) = reader.entitlement(tenant, *id)? else {
            let message =
                format!("The tenant has no Cloud PC '{id}' that a provisioning policy made. Name only such Cloud PCs.");
            return Err(Error::invalid(message));
        };
        policies.entry(entitlement.policy_id).or_default().push(*id);
    }
    Ok(policies)
}

/// Begins a rollout to every Cloud PC of a policy that differs.
pub(crate) fn apply_to_all(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    policy: &Document,
    settings: PolicySettingTypes,
    reserve_percentage: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    begin(tx, asked, policy, settings, Some(reserve_percentage), now)?;
    tx.rollout_add_outdated(asked.tenant_id, &policy.key.id, &PolicySettings::of(policy).values(settings))
}

/// Begins a rollout, or joins the one in progress: its start and failure stay, its requester is
/// replaced, and so is its reserve if another is given.
fn begin(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    policy: &Document,
    settings: PolicySettingTypes,
    reserve_percentage: Option<u32>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let in_progress = tx.rollout(asked.tenant_id, &policy.key.id)?.filter(|rollout| rollout.finished_at.is_none());
    let reserve_present = in_progress.as_ref().map_or(0, |rollout| rollout.reserve_percentage);
    let reserve_percentage = reserve_percentage.unwrap_or(reserve_present);
    tx.rollout_put(&Rollout {
        tenant_id: asked.tenant_id,
        policy_id: policy.key.id.clone(),
        reserve_percentage,
        requested_by: asked.by.clone(),
        request_id: asked.request_id.clone(),
        started_at: in_progress.as_ref().map_or(now, |rollout| rollout.started_at),
        finished_at: None,
        failed: in_progress.is_some_and(|rollout| rollout.failed),
    })?;
    let entry = audit::asked_for(asked, now, AuditVerb::ApplyPolicy, resource(policy))
        .detail("policySettings", &settings.to_string())
        .detail("reservePercentage", &reserve_percentage.to_string());
    tx.audit_insert(&entry)
}

fn find(reader: &Reader<'_>, tenant: TenantId, policy: &str) -> Result<Document, Error> {
    let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, policy);
    let document = reader.document(tenant, &key)?;
    document.ok_or_else(|| Error::not_found(format!("There is no provisioning policy '{policy}' in this tenant.")))
}

/// Returns a policy as an audit resource.
fn resource(policy: &Document) -> AuditResource {
    let name = policy.body.get("displayName").and_then(serde_json::Value::as_str).unwrap_or_default();
    AuditResource::new(ResourceType::Document(policy.key.kind), &policy.key.id).named(name)
}
