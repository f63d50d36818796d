//! `cloudpc partner delete`

use clap::Args;

use crate::commands::Session;
use crate::commands::partner::find;
use crate::failure::CommandError;
use crate::output::tell;

/// Delete a partner; its deployment results and reports are kept
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc partner delete fab00000-0000-4000-8000-000000000fab")]
pub struct Delete {
    /// Partner id, or id of the partner at this service
    #[arg(value_name = "PARTNER")]
    partner: String,
}

impl Delete {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        session.connection.delete(&find(session, &self.partner).await?).await?;
        tell(&format!("Deleted partner {}.", self.partner));
        Ok(())
    }
}
