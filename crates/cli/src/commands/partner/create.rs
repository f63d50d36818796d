//! `cloudpc partner create`

use clap::Args;
use serde_json::json;

use crate::commands::Session;
use crate::commands::partner::{COLUMNS, PARTNERS};
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc partner create fab00000-0000-4000-8000-000000000fab
  cloudpc partner create fab00000-0000-4000-8000-000000000fab --disconnected";

/// Add a partner
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Create {
    /// Partner id, a GUID
    #[arg(value_name = "PARTNER")]
    partner_id: String,
    /// Create the partner with its connection disabled
    #[arg(long)]
    disconnected: bool,
}

impl Create {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let body = json!({ "partnerId": self.partner_id, "enableConnection": !self.disconnected });
        session.format.row(&session.connection.post(PARTNERS, &body).await?, COLUMNS)
    }
}
