//! `cloudpc partner heartbeat`

use clap::Args;
use serde_json::Value;

use crate::commands::Session;
use crate::commands::partner::{COLUMNS, find};
use crate::failure::CommandError;

/// Send a heartbeat for a partner, which marks its connection as healthy
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc partner heartbeat fab00000-0000-4000-8000-000000000fab")]
pub struct Heartbeat {
    /// Partner id, or id of the partner at this service
    #[arg(value_name = "PARTNER")]
    partner: String,
}

impl Heartbeat {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let path = find(session, &self.partner).await?;
        session.connection.post(&format!("{path}/cloudpc.heartbeat"), &Value::Null).await?;
        session.format.row(&session.connection.get(&path).await?, COLUMNS)
    }
}
