//! `cloudpc list`

use clap::Args;

use crate::commands::Session;
use crate::commands::cloud_pc::CLOUD_PCS;
use crate::failure::CommandError;
use crate::output::{Column, tell, text};

const EXAMPLES: &str = "\
Examples:
  cloudpc list
  cloudpc list --filter \"status eq 'inGracePeriod'\"
  cloudpc list --top 10 -o json";

const COLUMNS: &[Column] = &[
    ("NAME", |row| text(row, "displayName")),
    ("DEVICE", |row| text(row, "managedDeviceName")),
    ("USER", |row| text(row, "userPrincipalName")),
    ("SIZE", |row| text(row, "servicePlanName")),
    ("STATUS", |row| text(row, "status")),
    ("ID", |row| text(row, "id")),
];

/// List Cloud PCs, sorted by name
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct List {
    /// OData filter
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Maximum number of rows
    #[arg(long, value_name = "NUMBER")]
    top: Option<usize>,
}

impl List {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let query: Vec<_> = self.filter.iter().map(|filter| ("$filter", filter.as_str())).collect();
        let mut rows = session.connection.rows(CLOUD_PCS, &query, self.top).await?;
        rows.sort_by_cached_key(|row| text(row, "displayName"));
        session.format.rows(&rows, COLUMNS)?;
        if rows.is_empty() && self.filter.is_none() {
            tell("No Cloud PCs yet. Load a simulated fleet with `cloudpc sim scenario load FILE`.");
        }
        Ok(())
    }
}
