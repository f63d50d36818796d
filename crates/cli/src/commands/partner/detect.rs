//! `cloudpc partner detect`

use clap::Args;
use serde_json::json;

use crate::commands::Session;
use crate::commands::partner::find;
use crate::failure::CommandError;
use crate::output::tell;

const EXAMPLES: &str = "\
Examples:
  cloudpc partner detect fab00000-0000-4000-8000-000000000fab 'systemctl is-active fabrikam-agent'
  cloudpc partner detect fab00000-0000-4000-8000-000000000fab --none";

/// Set the command that detects whether a partner's agent is installed
///
/// The command runs in the guest's shell (PowerShell on Windows) after the installer has succeeded,
/// with a few retries. The deployment succeeds only if the command does. Deployments in progress
/// keep their command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Detect {
    /// Partner id, or id of the partner at this service
    #[arg(value_name = "PARTNER")]
    partner: String,
    /// Detection command, as one argument
    #[arg(value_name = "COMMAND", required_unless_present = "none")]
    command: Option<String>,
    /// Remove the command: only the installer's exit code counts
    #[arg(long, conflicts_with = "command")]
    none: bool,
}

impl Detect {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let path = format!("{}/cloudpc.setDetection", find(session, &self.partner).await?);
        session.connection.post(&path, &json!({ "command": self.command.unwrap_or_default() })).await?;
        match self.none {
            true => tell("Removed the detection command."),
            false => tell("Set the detection command."),
        }
        Ok(())
    }
}
