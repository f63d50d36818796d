//! Accepting deployments: one action, result row and report per requested Cloud PC, in one
//! transaction.

use cloudpc_model::{
    ActivityId, AgentSetting, AuditResource, AuditVerb, CloudPc, CloudPcId, Error, ErrorKind, Params, Partner,
    PartnerId, Product, ResourceType, TenantId, Timestamp,
};
use cloudpc_store::{NewAction, Reader, Report, ReportType, StoreError, Tx};
use std::collections::BTreeSet;

use crate::actions::recipe;
use crate::request::RequestContext;
use crate::{Engine, audit};

/// Most Cloud PCs per call.
pub const TARGETS_MAX: usize = 50;

/// Partners read per page.
const PARTNERS_PAGE: usize = 100;

/// Receipt of an accepted deployment call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployReceipt {
    /// Activity that groups all deployments of the call.
    pub activity_id: ActivityId,
}

impl Engine {
    /// Deploys a partner's agent to the named Cloud PCs (1 to 50; duplicates count once). Writes
    /// one action, result row and report per name.
    ///
    /// # Errors
    /// Not found (partner); conflict (connection disabled `partnerConnectionDisabled`, no agent
    /// configured `agentNotConfigured`).
    pub async fn deploy(
        &self,
        asked: &RequestContext,
        partner: PartnerId,
        targets: Vec<String>,
    ) -> Result<DeployReceipt, Error> {
        let targets = distinct(targets)?;
        let (asked, now) = (asked.clone(), self.parts.clock.now());
        let activity_id = ActivityId::random(&*self.parts.rng);
        let written = self.parts.store.write(move |tx| {
            let partner = tx
                .partner(asked.tenant_id, partner)?
                .ok_or_else(|| Error::not_found(format!("There is no external partner '{partner}' in this tenant.")))?;
            let agent = usable_agent(&partner)?;
            accept(tx, &asked, &partner, agent, activity_id, &targets, now)?;
            Ok::<_, Error>(())
        });
        written.await?;
        self.work.wake.notify_one();
        Ok(DeployReceipt { activity_id })
    }
}

/// Removes duplicate targets. GUIDs are compared case-insensitively and in any notation.
fn distinct(targets: Vec<String>) -> Result<Vec<String>, Error> {
    if targets.is_empty() || targets.len() > TARGETS_MAX {
        return Err(Error::invalid(format!(
            "'cloudPcIds' names {} Cloud PCs; 1 to {TARGETS_MAX} are allowed.",
            targets.len()
        )));
    }
    let mut seen = BTreeSet::new();
    Ok(targets
        .into_iter()
        .filter(|target| {
            seen.insert(match target.parse::<CloudPcId>() {
                Ok(id) => id.to_string(),
                Err(_) => target.to_ascii_lowercase(),
            })
        })
        .collect())
}

/// Writes the action, result row and report of each target, and one audit row for all.
pub(crate) fn accept(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    partner: &Partner,
    agent: &AgentSetting,
    activity_id: ActivityId,
    targets: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    let by = &asked.by;
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
            deadline_at: now + recipe(params.kind()).time_max,
            params,
            requested_by: by.clone(),
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

fn usable_agent(partner: &Partner) -> Result<&AgentSetting, Error> {
    let refuse = |code, message: &str| Error::new(ErrorKind::Conflict, code, message);
    if !partner.enable_connection {
        return Err(refuse(
            "partnerConnectionDisabled",
            "The partner's connection is disabled. Set 'enableConnection' to true first.",
        ));
    }
    partner
        .agent
        .as_ref()
        .ok_or_else(|| refuse("agentNotConfigured", "The partner has no agent. Call 'configureAgent' first."))
}

/// Returns all partners of a tenant.
pub(crate) fn partners_of(reader: &Reader<'_>, tenant: TenantId) -> Result<Vec<Partner>, StoreError> {
    let mut partners: Vec<Partner> = Vec::new();
    loop {
        let page = reader.partner_list(tenant, partners.last().map(|partner| partner.id), PARTNERS_PAGE)?;
        let whole = page.len() == PARTNERS_PAGE;
        partners.extend(page);
        if !whole {
            return Ok(partners);
        }
    }
}

/// Returns the partners whose agent is deployed to this Cloud PC after each reprovision.
pub(crate) fn auto_deploy_partners(
    reader: &Reader<'_>,
    cloud_pc: &CloudPc,
    business_only: bool,
) -> Result<Vec<Partner>, StoreError> {
    if business_only && cloud_pc.product != Product::Business {
        return Ok(Vec::new());
    }
    let mut partners = partners_of(reader, cloud_pc.tenant_id)?;
    partners
        .retain(|partner| partner.enable_connection && partner.agent.as_ref().is_some_and(|agent| agent.auto_deploy));
    Ok(partners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_targets_count_once() {
        let id = "0d0d0d0d-aaaa-4bbb-8ccc-0123456789ab";
        let names = [id.to_uppercase(), id.to_owned(), "nothing".into(), "Nothing".into(), format!("{{{id}}}")];
        assert_eq!(distinct(names.to_vec()).unwrap(), [id.to_uppercase(), "nothing".into()]);
    }

    #[test]
    fn accepts_1_to_50_targets() {
        let named = |count: usize| distinct((0..count).map(|n| n.to_string()).collect());
        assert!(named(0).is_err() && named(51).is_err());
        assert_eq!((named(1).unwrap().len(), named(50).unwrap().len()), (1, 50));
    }
}
