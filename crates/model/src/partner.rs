//! External partners and the agent that they roll out.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::{PartnerId, TenantId, Timestamp};

/// `cloudPcExternalPartner`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Entity id, made by the server.
    pub id: PartnerId,
    /// The partner's own id, given when it is created.
    pub partner_id: String,
    /// Whether the partner may act.
    pub enable_connection: bool,
    /// The agent, once configured.
    pub agent: Option<AgentSetting>,
    /// URL prefixes that the agent may be fetched from; empty: any public https address.
    pub allowed_urls: Vec<String>,
    /// The last heartbeat.
    pub last_sync_at: Option<Timestamp>,
}

/// `cloudPcExternalPartnerAgentSetting`: what to install and how. It is copied into each deployment, so a later change does not touch work under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSetting {
    /// Where the installer is fetched from.
    pub url: String,
    /// SHA-256 of the installer: 64 hex digits, lower case.
    pub sha256: String,
    /// Arguments of the installer. May hold secrets: masked everywhere but in the guest.
    pub install_parameters: Vec<String>,
    /// Whether the agent is deployed after each provisioning and reprovisioning.
    pub auto_deploy: bool,
    /// A line for the shell of the guest that succeeds where the agent is installed; ours, and no part of Graph's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection: Option<String>,
}

impl AgentSetting {
    /// The file name at the end of the URL, e.g. `agent.msi`; the `agentName` of a report.
    pub fn agent_name(&self) -> &str {
        let path = self.url.split(['?', '#']).next().unwrap_or(&self.url);
        path.rsplit('/').next().unwrap_or(path)
    }
}

/// `cloudPcExternalPartnerStatus`; never stored, always derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionStatus {
    /// The connection is disabled.
    NotAvailable,
    /// Enabled; no heartbeat has come since.
    Available,
    /// Heartbeats come in.
    Healthy,
    /// Heartbeats came once and have stopped.
    Unhealthy,
}

impl Partner {
    /// The status at `now`, if a partner may be silent for `silence_max` (behaviour of the heartbeat: our choice, it is not public).
    pub fn connection_status(&self, now: Timestamp, silence_max: Duration) -> ConnectionStatus {
        match (self.enable_connection, self.last_sync_at) {
            (false, _) => ConnectionStatus::NotAvailable,
            (true, None) => ConnectionStatus::Available,
            (true, Some(at)) if now.since(at) <= silence_max => ConnectionStatus::Healthy,
            (true, Some(_)) => ConnectionStatus::Unhealthy,
        }
    }
}
