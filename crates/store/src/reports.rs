//! Action reports of partners: who configured and who deployed what. Never changed.

use cloudpc_model::{ActivityId, Actor, AgentSetting, PartnerId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Reader, StoreError, Tx};

/// `cloudPcExternalPartnerActionType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReportType {
    /// The agent was configured.
    ConfigureAgent,
    /// The agent was sent to one Cloud PC.
    DeployAgent,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its number, made by the store; zero before it is stored.
    pub id: i64,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Whose report.
    pub partner_id: PartnerId,
    /// Of what.
    pub report_type: ReportType,
    /// Who did it.
    pub actor: Actor,
    /// When.
    pub created_at: Timestamp,
    /// The Cloud PC as named by the caller; empty for a configuration.
    pub target: String,
    /// Its name; empty if it is not known.
    pub cloud_pc_name: String,
    /// File name of the agent.
    pub agent_name: String,
    /// The activity, for a deployment.
    pub activity_id: Option<ActivityId>,
    /// For people.
    pub message: String,
    /// What was set, with its parameters masked; for a configuration.
    pub agent: Option<AgentSetting>,
}

impl Reader<'_> {
    /// Reports of a partner, newest first, those numbered below `before`.
    pub fn report_list(
        &self,
        _tenant: TenantId,
        _partner: PartnerId,
        _before: Option<i64>,
        _limit: usize,
    ) -> Result<Vec<Report>, StoreError> {
        unimplemented!()
    }

    /// How many there are.
    pub fn report_count(&self, _tenant: TenantId, _partner: PartnerId) -> Result<u64, StoreError> {
        unimplemented!()
    }
}

impl Tx<'_> {
    /// Adds a report.
    pub fn report_insert(&mut self, _report: &Report) -> Result<(), StoreError> {
        unimplemented!()
    }
}
