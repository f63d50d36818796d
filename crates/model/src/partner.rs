//! External partners and their agents.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::{PartnerId, TenantId, Timestamp};

/// `cloudPcExternalPartner`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    /// Tenant of the partner.
    pub tenant_id: TenantId,
    /// Entity id, assigned by the server.
    pub id: PartnerId,
    /// Partner id, given at creation.
    pub partner_id: String,
    /// Whether the connection is enabled.
    pub enable_connection: bool,
    /// Agent setting, once configured.
    pub agent: Option<AgentSetting>,
    /// URL prefixes from which the agent may be downloaded; empty: any public https URL.
    pub allowed_urls: Vec<String>,
    /// Time of the last heartbeat.
    pub last_sync_at: Option<Timestamp>,
}

/// `cloudPcExternalPartnerAgentSetting`: what to install and how. Each deployment has its own copy,
/// so changes do not affect deployments in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSetting {
    /// Download URL of the installer.
    pub url: String,
    /// SHA-256 of the installer: 64 hex digits, lower case.
    pub sha256: String,
    /// Arguments of the installer. May contain secrets: masked everywhere except in the guest.
    pub install_parameters: Vec<String>,
    /// Whether the agent is deployed after each provisioning and reprovisioning.
    pub auto_deploy: bool,
    /// Shell command that succeeds if the agent is installed. An extension, not part of Graph's
    /// type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection: Option<String>,
}

impl AgentSetting {
    /// Returns the file name in the URL, e.g. `agent.msi`; the `agentName` of a report.
    pub fn agent_name(&self) -> &str {
        let path = self.url.split(['?', '#']).next().unwrap_or(&self.url);
        path.rsplit('/').next().unwrap_or(path)
    }
}

/// `cloudPcExternalPartnerStatus`; derived, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionStatus {
    /// The connection is disabled.
    NotAvailable,
    /// Enabled; no heartbeat received yet.
    Available,
    /// Heartbeats arrive.
    Healthy,
    /// Heartbeats have stopped.
    Unhealthy,
}

impl Partner {
    /// Returns the status at `now`. A partner without a heartbeat for `silence_max` is unhealthy
    /// (our rule; Microsoft's is not public).
    pub fn connection_status(&self, now: Timestamp, silence_max: Duration) -> ConnectionStatus {
        match (self.enable_connection, self.last_sync_at) {
            (false, _) => ConnectionStatus::NotAvailable,
            (true, None) => ConnectionStatus::Available,
            (true, Some(at)) if now.since(at) <= silence_max => ConnectionStatus::Healthy,
            (true, Some(_)) => ConnectionStatus::Unhealthy,
        }
    }
}
