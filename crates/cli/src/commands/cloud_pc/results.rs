//! `cloudpc results`

use clap::Args;

use crate::commands::Session;
use crate::commands::cloud_pc::{CLOUD_PCS, find};
use crate::failure::CommandError;
use crate::output::{Column, text, time};

const EXAMPLES: &str = "\
Examples:
  cloudpc results desk-07
  cloudpc results desk-07 --top 1 -o json";

const COLUMNS: &[Column] = &[
    ("ACTION", |row| text(row, "actionName")),
    ("STATE", |row| text(row, "actionState")),
    ("STARTED", |row| time(row, "startDateTime")),
    ("UPDATED", |row| time(row, "lastUpdatedDateTime")),
    ("DETAIL", |row| text(row, "statusDetail/message")),
];

/// Show the results of the remote actions on a Cloud PC, newest first
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Results {
    /// Display name, device name or id of the Cloud PC
    #[arg(value_name = "CLOUD_PC")]
    cloud_pc: String,
    /// Maximum number of rows
    #[arg(long, value_name = "NUMBER")]
    top: Option<usize>,
}

impl Results {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let found = find(session, &self.cloud_pc).await?;
        let path = format!("{CLOUD_PCS}/{}/retrieveCloudPCRemoteActionResults", found.id);
        let rows = session.connection.rows(&path, &[], self.top).await?;
        session.format.rows(&rows, COLUMNS)
    }
}
