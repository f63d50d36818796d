//! `cloudpc sim reset`

use clap::Args;
use serde_json::Value;

use crate::commands::Session;
use crate::failure::CommandError;
use crate::output::tell;

/// Remove all Cloud PCs, users, partners, actions and faults; applications stay
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim reset\n  cloudpc sim scenario load scenarios/demo.toml")]
pub struct Reset {}

impl Reset {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        session.connection.post("/_cloudpc/reset", &Value::Null).await?;
        tell("Removed the fleet. Load another one with `cloudpc sim scenario load FILE`.");
        Ok(())
    }
}
