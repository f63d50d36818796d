//! `cloudpc sim incident`

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::commands::Session;
use crate::commands::cloud_pc::find;
use crate::failure::CommandError;
use crate::output::tell;

const EXAMPLES: &str = "\
Examples:
  cloudpc sim incident desk-07 crash
  cloudpc sim incident desk-07 shut-down";

/// Let something befall a running machine without anyone asking for it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Incident {
    /// Display name, device name or id of the Cloud PC
    #[arg(value_name = "CLOUD_PC")]
    cloud_pc: String,
    /// What befalls it
    #[arg(value_enum)]
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// It loses its power
    Crash,
    /// Its operating system gives up
    Panic,
    /// Its user shuts it down
    ShutDown,
}

impl Incident {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let found = find(session, &self.cloud_pc).await?;
        let incident = match self.what {
            What::Crash => "crash",
            What::Panic => "panic",
            What::ShutDown => "shutDown",
        };
        session.connection.post("/_cloudpc/incidents", &json!({ "cloudPcId": found.id, "incident": incident })).await?;
        tell(&format!("{} is off. `cloudpc actions {}` shows whether it is started again.", found.name, found.name));
        Ok(())
    }
}
