//! `cloudpc sim session`

use clap::{Args, Subcommand};
use serde_json::json;

use crate::commands::Session;
use crate::commands::cloud_pc::find;
use crate::failure::CommandError;
use crate::output::tell;

const EXAMPLES: &str = "\
Examples:
  cloudpc sim session begin desk-07
  cloudpc sim session begin desk-07 --ago 2h --lasted 45m --round-trip-ms 31
  cloudpc sim session end desk-07";

const BEGIN_EXAMPLES: &str = "\
Examples:
  cloudpc sim session begin desk-07
  cloudpc sim session begin desk-07 --ago 2h --lasted 45m --round-trip-ms 31";

/// State when users were connected to simulated machines, for reports
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Begin(Begin),
    End(End),
}

/// Begin a session, or state one that has ended
#[derive(Debug, Args)]
#[command(after_help = BEGIN_EXAMPLES)]
pub struct Begin {
    /// Display name, device name or id of the Cloud PC
    #[arg(value_name = "CLOUD_PC")]
    cloud_pc: String,
    /// How long ago it began, such as 90s, 1h30m or 7d [default: now]
    #[arg(long, value_name = "DURATION")]
    ago: Option<String>,
    /// How long it lasted [default: it is still open]
    #[arg(long, value_name = "DURATION")]
    lasted: Option<String>,
    /// User principal name of who was connected [default: the assigned user]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Median round trip, milliseconds
    #[arg(long, value_name = "MS")]
    round_trip_ms: Option<u32>,
    /// Median available bandwidth, kilobytes per second
    #[arg(long, value_name = "KB_PER_S")]
    bandwidth: Option<u32>,
    /// Time from the request to the desktop, milliseconds
    #[arg(long, value_name = "MS")]
    sign_in_ms: Option<u32>,
}

/// End the open sessions of a Cloud PC
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim session end desk-07")]
pub struct End {
    /// Display name, device name or id of the Cloud PC
    #[arg(value_name = "CLOUD_PC")]
    cloud_pc: String,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        match self {
            Self::Begin(begin) => begin.run(session).await,
            Self::End(end) => end.run(session).await,
        }
    }
}

impl Begin {
    async fn run(self, session: &Session) -> Result<(), CommandError> {
        let found = find(session, &self.cloud_pc).await?;
        let body = json!({
            "cloudPcId": found.id,
            "began": self.ago,
            "lasted": self.lasted,
            "userPrincipalName": self.user,
            "roundTripTimeInMs": self.round_trip_ms,
            "availableBandwidthInKBps": self.bandwidth,
            "remoteSignInTimeInMs": self.sign_in_ms,
        });
        session.connection.post("/_cloudpc/sessions", &body).await?;
        let open = if self.lasted.is_some() { "The session is recorded" } else { "A session is open" };
        tell(&format!("{open} on {}. Reports of remote connections have it.", found.name));
        Ok(())
    }
}

impl End {
    async fn run(self, session: &Session) -> Result<(), CommandError> {
        let found = find(session, &self.cloud_pc).await?;
        session.connection.post("/_cloudpc/sessions/end", &json!({ "cloudPcId": found.id })).await?;
        tell(&format!("The sessions on {} have ended.", found.name));
        Ok(())
    }
}
