//! `cloudpc partner detect`

use clap::Args;
use serde_json::json;

use crate::commands::Session;
use crate::commands::partner::find;
use crate::failure::Failure;
use crate::output::tell;

const EXAMPLES: &str = "\
Examples:
  cloudpc partner detect fab00000-0000-4000-8000-000000000fab 'systemctl is-active fabrikam-agent'
  cloudpc partner detect fab00000-0000-4000-8000-000000000fab --none";

/// Say how a Cloud PC shows that the agent of a partner is installed
///
/// The command is run in the shell of the guest after the installer has ended well. Only if it succeeds too, after a few tries, has the deployment
/// succeeded. On Windows the shell is PowerShell. A deployment under way keeps the command that it was asked for with.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Detect {
    /// The partner: its own id, or its id here
    #[arg(value_name = "PARTNER")]
    partner: String,
    /// The command, as one argument
    #[arg(value_name = "COMMAND", required_unless_present = "none")]
    command: Option<String>,
    /// Have no command: the installer's exit code alone counts
    #[arg(long, conflicts_with = "command")]
    none: bool,
}

impl Detect {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let path = format!("{}/cloudpc.setDetection", find(session, &self.partner).await?);
        session.connection.post(&path, &json!({ "command": self.command.unwrap_or_default() })).await?;
        match self.none {
            true => tell("The agent is not looked for any more."),
            false => tell("The agent is looked for after its installer has ended."),
        }
        Ok(())
    }
}
