//! `cloudpc partner delete`

use clap::Args;

use crate::commands::Session;
use crate::commands::partner::find;
use crate::failure::Failure;
use crate::output::tell;

/// Remove a partner; the results and reports of its deployments are kept
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc partner delete fab00000-0000-4000-8000-000000000fab")]
pub struct Delete {
    /// The partner: its own id, or its id here
    #[arg(value_name = "PARTNER")]
    partner: String,
}

impl Delete {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        session.connection.delete(&find(session, &self.partner).await?).await?;
        tell(&format!("Partner {} is removed.", self.partner));
        Ok(())
    }
}
