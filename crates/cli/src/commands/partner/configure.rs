//! `cloudpc partner configure`

use clap::{ArgGroup, Args};
use serde_json::json;

use crate::commands::Session;
use crate::commands::partner::{COLUMNS, find};
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc partner configure fab00000-0000-4000-8000-000000000fab --connect
  cloudpc partner configure fab00000-0000-4000-8000-000000000fab \\
    --agent-url https://agents.fabrikam.test/agent-4.2.msi --agent-sha256 $(sha256sum agent-4.2.msi | cut -c-64) \\
    --install-parameter=/quiet --auto-deploy";

/// Set a partner's agent, and enable or disable its connection
///
/// The agent setting is replaced as a whole.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["agent_url", "connect", "disconnect"]))]
pub struct Configure {
    /// Partner id, or id of the partner at this service
    #[arg(value_name = "PARTNER")]
    partner: String,
    /// Download URL of the installer
    #[arg(long, value_name = "URL", requires = "agent_sha256")]
    agent_url: Option<String>,
    /// SHA-256 of the installer, 64 hex digits
    #[arg(long, value_name = "SHA256", requires = "agent_url")]
    agent_sha256: Option<String>,
    /// Argument of the installer; repeatable
    #[arg(long = "install-parameter", value_name = "ARGUMENT", requires = "agent_url", allow_hyphen_values = true)]
    install_parameters: Vec<String>,
    /// Deploy the agent after each provisioning and reprovisioning
    #[arg(long, requires = "agent_url")]
    auto_deploy: bool,
    /// Enable the partner's connection
    #[arg(long)]
    connect: bool,
    /// Disable the partner's connection
    #[arg(long, conflicts_with = "connect")]
    disconnect: bool,
}

impl Configure {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let path = find(session, &self.partner).await?;
        if self.connect || self.disconnect {
            session.connection.patch(&path, &json!({ "enableConnection": self.connect })).await?;
        }
        if let (Some(url), Some(sha256)) = (self.agent_url, self.agent_sha256) {
            let setting = json!({
                "agentUrl": url,
                "agentSha256": sha256,
                "installParameters": self.install_parameters,
                "autoDeploymentEnabled": self.auto_deploy,
            });
            session.connection.post(&format!("{path}/configureAgent"), &json!({ "agentSetting": setting })).await?;
        }
        session.format.row(&session.connection.get(&path).await?, COLUMNS)
    }
}
