//! `cloudpc partner list`

use clap::Args;

use crate::commands::Session;
use crate::commands::partner::{COLUMNS, PARTNERS};
use crate::failure::CommandError;

/// List the partners
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc partner list\n  cloudpc partner list -o json")]
pub struct List {}

impl List {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        session.format.rows(&session.connection.rows(PARTNERS, &[], None).await?, COLUMNS)
    }
}
