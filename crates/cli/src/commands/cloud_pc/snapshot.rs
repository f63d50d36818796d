//! `cloudpc snapshot`

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::commands::Session;
use crate::commands::cloud_pc::{CLOUD_PCS, Request, find};
use crate::failure::CommandError;
use crate::output::{Column, text, time};

const EXAMPLES: &str = "\
Examples:
  cloudpc snapshot create desk-07 --wait
  cloudpc snapshot list desk-07";

const COLUMNS: &[Column] = &[
    ("SNAPSHOT", |row| text(row, "id")),
    ("TYPE", |row| text(row, "snapshotType")),
    ("STATUS", |row| text(row, "status")),
    ("CREATED", |row| time(row, "createdDateTime")),
    ("RESTORED", |row| time(row, "lastRestoredDateTime")),
];

/// Create and list restore points
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Create(Create),
    List(List),
}

/// Create a restore point of a Cloud PC
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc snapshot create desk-07 --wait")]
pub struct Create {
    #[command(flatten)]
    request: Request,
}

/// List the restore points of a Cloud PC
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc snapshot list desk-07")]
pub struct List {
    /// Display name, device name or id of the Cloud PC
    #[arg(value_name = "CLOUD_PC")]
    cloud_pc: String,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        match self {
            Self::Create(create) => create.request.make(session, "createSnapshot", &Value::Null).await,
            Self::List(list) => {
                let found = find(session, &list.cloud_pc).await?;
                let path = format!("{CLOUD_PCS}/{}/retrieveSnapshots", found.id);
                session.format.rows(&session.connection.rows(&path, &[], None).await?, COLUMNS)
            }
        }
    }
}
