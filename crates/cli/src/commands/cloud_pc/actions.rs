//! `cloudpc actions`

use clap::Args;
use serde_json::Value;

use crate::commands::Session;
use crate::commands::cloud_pc::{ACTION_COLUMNS, CLOUD_PCS, find};
use crate::failure::CommandError;
use crate::output::{Column, Format, print, text, time};

const EXAMPLES: &str = "\
Examples:
  cloudpc actions desk-07
  cloudpc actions desk-07 17
  cloudpc actions desk-07 17 -o json";

const STEP_COLUMNS: &[Column] = &[
    ("STEP", |row| text(row, "name")),
    ("STATE", |row| text(row, "state")),
    ("ATTEMPTS", |row| text(row, "attempts")),
    ("STARTED", |row| time(row, "startedDateTime")),
    ("ENDED", |row| time(row, "endedDateTime")),
    ("MESSAGE", |row| text(row, "message")),
];

/// Show the actions on a Cloud PC, or the steps of one action
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Actions {
    /// Display name, device name or id of the Cloud PC
    #[arg(value_name = "CLOUD_PC")]
    cloud_pc: String,
    /// Number of an action, to show its steps
    #[arg(value_name = "ACTION")]
    action: Option<u64>,
    /// Maximum number of rows
    #[arg(long, value_name = "NUMBER", conflicts_with = "action")]
    top: Option<usize>,
}

impl Actions {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let found = find(session, &self.cloud_pc).await?;
        let path = format!("{CLOUD_PCS}/{}/cloudpc.actions", found.id);
        let Some(number) = self.action else {
            return session.format.rows(&session.connection.rows(&path, &[], self.top).await?, ACTION_COLUMNS);
        };
        let action = session.connection.get(&format!("{path}/{number}")).await?;
        session.format.row(&action, ACTION_COLUMNS)?;
        if session.format == Format::Table {
            let steps = action.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
            print("\n")?;
            session.format.rows(&steps, STEP_COLUMNS)?;
        }
        Ok(())
    }
}
