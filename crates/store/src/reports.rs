//! Action reports of partners: who configured and who deployed what. Reports never change.

use cloudpc_model::{ActivityId, Actor, AgentSetting, PartnerId, TenantId, Timestamp};
use strum::{EnumString, IntoStaticStr};

use crate::connection::params;
use crate::counters::Counter;
use crate::rows::{self, Columns, json, json_opt, word};
use crate::{Reader, StoreError, Tx};

/// `cloudPcExternalPartnerActionType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub enum ReportType {
    /// The agent was configured.
    ConfigureAgent,
    /// The agent was deployed to one Cloud PC.
    DeployAgent,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Number, assigned by the store; zero before.
    pub id: i64,
    /// Tenant of the report.
    pub tenant_id: TenantId,
    /// Partner of the report.
    pub partner_id: PartnerId,
    /// Reported action.
    pub report_type: ReportType,
    /// Who acted.
    pub actor: Actor,
    /// Time of the action.
    pub created_at: Timestamp,
    /// The Cloud PC as named by the caller; empty for a configuration.
    pub target: String,
    /// Name of the Cloud PC; empty if unknown.
    pub cloud_pc_name: String,
    /// File name of the agent.
    pub agent_name: String,
    /// The activity, for a deployment.
    pub activity_id: Option<ActivityId>,
    /// Message for people.
    pub message: String,
    /// The configured agent with masked parameters, for a configuration.
    pub agent: Option<AgentSetting>,
}

impl Reader<'_> {
    /// Lists the reports of a partner, newest first, numbered below `before`.
    pub fn report_list(
        &self,
        tenant: TenantId,
        partner: PartnerId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Report>, StoreError> {
        self.rows(
            "SELECT id, tenant_id, partner_id, report_type, actor, created_at, target, cloud_pc_name, agent_name, activity_id, message, agent
             FROM reports WHERE tenant_id = ?1 AND partner_id = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4",
            params![tenant.0, partner.0, before.unwrap_or(i64::MAX), rows::limit(limit)],
            |row| {
                let mut columns = Columns::new(row, "reports");
                Ok(Report {
                    id: columns.get()?,
                    tenant_id: TenantId(columns.get()?),
                    partner_id: PartnerId(columns.get()?),
                    report_type: columns.word()?,
                    actor: columns.json()?,
                    created_at: columns.time()?,
                    target: columns.get()?,
                    cloud_pc_name: columns.get()?,
                    agent_name: columns.get()?,
                    activity_id: columns.get::<Option<_>>()?.map(ActivityId),
                    message: columns.get()?,
                    agent: columns.json_opt()?,
                })
            },
        )
    }

    /// Number of reports: they are numbered from one, and never deleted one by one.
    pub fn report_count(&self, tenant: TenantId, partner: PartnerId) -> Result<u64, StoreError> {
        self.count(
            "SELECT coalesce(max(id), 0) FROM reports WHERE tenant_id = ?1 AND partner_id = ?2",
            params![tenant.0, partner.0],
        )
    }
}

impl Tx<'_> {
    /// Adds a report; the store numbers it within its partner.
    pub fn report_insert(&mut self, report: &Report) -> Result<(), StoreError> {
        let id = self.next_number(report.tenant_id, Counter::Report, report.partner_id.0)?;
        self.execute(
            "INSERT INTO reports (tenant_id, partner_id, id, report_type, actor, created_at, target, cloud_pc_name, agent_name,
             activity_id, message, agent)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                report.tenant_id.0,
                report.partner_id.0,
                id,
                word(report.report_type),
                json(&report.actor),
                report.created_at.0,
                report.target,
                report.cloud_pc_name,
                report.agent_name,
                report.activity_id.map(|id| id.0),
                report.message,
                json_opt(report.agent.as_ref()),
            ],
        )?;
        Ok(())
    }
}
