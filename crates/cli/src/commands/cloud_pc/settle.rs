//! `cloudpc settle`

use clap::Args;
use serde_json::Value;

use crate::commands::Session;
use crate::commands::cloud_pc::{CLOUD_PCS, find};
use crate::failure::CommandError;
use crate::output::tell;

const EXAMPLES: &str = "\
Examples:
  cloudpc actions desk-07
  cloudpc settle desk-07 17";

/// Release a Cloud PC with a stuck action, after you have repaired the machine
///
/// An action is stuck if a step failed and could not be undone. Settling marks it as failed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Settle {
    /// Display name, device name or id of the Cloud PC
    #[arg(value_name = "CLOUD_PC")]
    cloud_pc: String,
    /// Number of the stuck action
    #[arg(value_name = "ACTION")]
    action: u64,
}

impl Settle {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let found = find(session, &self.cloud_pc).await?;
        let path = format!("{CLOUD_PCS}/{}/cloudpc.actions/{}/cloudpc.settle", found.id, self.action);
        session.connection.post(&path, &Value::Null).await?;
        tell(&format!("Settled action {} on {}.", self.action, found.name));
        Ok(())
    }
}
