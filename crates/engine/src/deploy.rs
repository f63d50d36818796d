//! Accepting deployments: one action, result row and report per requested Cloud PC, in one
//! transaction.

use cloudpc_model::{
    ActionId, ActivityId, AgentSetting, CloudPc, CloudPcId, Error, ErrorKind, Kind, Partner, PartnerId, SeededRng,
    State, Timestamp,
};
use cloudpc_store::{DeploymentFilter, Reader, StoreError, Tx};
use std::collections::BTreeSet;

use crate::Engine;
use crate::actions::recipe;
use crate::ledger::{self, Deployments, RequestContext};
use crate::partner::partners_of;

/// Most Cloud PCs per call.
pub const TARGETS_MAX: usize = 50;

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
        let written = self.parts.store.write("deployment.accept", move |tx| {
            let partner = tx
                .partner(asked.tenant_id, partner)?
                .ok_or_else(|| Error::not_found(format!("There is no external partner '{partner}' in this tenant.")))?;
            let agent = usable_agent(&partner)?;
            let time_max = recipe(Kind::DeployAgent).time_max;
            let deployments = Deployments { partner: &partner, agent, activity_id, targets: &targets, time_max };
            ledger::accept_deployments(tx, &asked, &deployments, now)?;
            Ok::<_, Error>(())
        });
        written.await?;
        self.work.wake.notify_one();
        Ok(DeployReceipt { activity_id })
    }
}

impl Engine {
    /// Deploys the agents again whose latest deployment to the Cloud PC that `find` looks up has
    /// failed. Partners that are no longer connected are left out. Returns the number of
    /// deployments.
    ///
    /// # Errors
    /// Errors of `find`; the store fails.
    pub async fn retry_deployments<E, F>(&self, asked: &RequestContext, find: F) -> Result<usize, E>
    where
        F: Fn(&Reader<'_>) -> Result<CloudPc, E> + Send + 'static,
        E: From<Error> + From<StoreError> + Send + 'static,
    {
        let (asked, now) = (asked.clone(), self.parts.clock.now());
        let seed = self.parts.rng.next_u64();
        let written = self.parts.store.write("deployment.retry", move |tx| {
            let cloud_pc = find(tx)?;
            Ok::<_, E>(retry_failed(tx, &asked, &cloud_pc, &SeededRng::new(seed), now)?)
        });
        let count = written.await?;
        self.work.wake.notify_one();
        Ok(count)
    }
}

fn retry_failed(
    tx: &mut Tx<'_>,
    asked: &RequestContext,
    cloud_pc: &CloudPc,
    rng: &SeededRng,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let target = cloud_pc.id.to_string();
    let filter = DeploymentFilter { activity: None, target: Some(target.clone()) };
    let time_max = recipe(Kind::DeployAgent).time_max;
    let mut count = 0;
    for partner in partners_of(tx, cloud_pc.tenant_id)? {
        let all = (ActionId(0), ActionId(i64::MAX));
        let deployments = tx.deployment_list(cloud_pc.tenant_id, partner.id, &filter, all.0, all.1, usize::MAX)?;
        let has_failed = deployments.last().is_some_and(|latest| latest.state == State::Failed);
        if let (true, Ok(agent)) = (has_failed, usable_agent(&partner)) {
            let targets = [target.clone()];
            let activity_id = ActivityId::random(rng);
            let again = Deployments { partner: &partner, agent, activity_id, targets: &targets, time_max };
            ledger::accept_deployments(tx, asked, &again, now)?;
            count += 1;
        }
    }
    Ok(count)
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
