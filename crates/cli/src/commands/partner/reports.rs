//! `cloudpc partner reports`

use clap::Args;

use crate::commands::Session;
use crate::commands::partner::find;
use crate::failure::CommandError;
use crate::output::{Column, text, time};

const EXAMPLES: &str = "\
Examples:
  cloudpc partner reports fab00000-0000-4000-8000-000000000fab
  cloudpc partner reports fab00000-0000-4000-8000-000000000fab --top 20 -o json";

const COLUMNS: &[Column] = &[
    ("TIME", |row| time(row, "createdDateTime")),
    ("ACTION", |row| text(row, "actionType")),
    ("AGENT", |row| text(row, "agentName")),
    ("CLOUD PC", |row| text(row, "cloudPcName")),
    ("BY", |row| match text(row, "authenticatedUserPrincipalName") {
        user if user.is_empty() => text(row, "authenticatedAppName"),
        user => user,
    }),
    ("ACTIVITY", |row| text(row, "activityId")),
    ("MESSAGE", |row| text(row, "activityMessage")),
];

/// Show who configured and deployed a partner's agent, newest first
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Reports {
    /// Partner id, or id of the partner at this service
    #[arg(value_name = "PARTNER")]
    partner: String,
    /// Maximum number of rows
    #[arg(long, value_name = "NUMBER")]
    top: Option<usize>,
}

impl Reports {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let path = format!("{}/retrieveActionReports", find(session, &self.partner).await?);
        session.format.rows(&session.connection.rows(&path, &[], self.top).await?, COLUMNS)
    }
}
