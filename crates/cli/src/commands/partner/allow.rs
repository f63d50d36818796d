//! `cloudpc partner allow`

use clap::Args;
use serde_json::json;

use crate::commands::Session;
use crate::commands::partner::find;
use crate::failure::CommandError;
use crate::output::tell;

const EXAMPLES: &str = "\
Examples:
  cloudpc partner allow fab00000-0000-4000-8000-000000000fab https://agents.fabrikam.test/
  cloudpc partner allow fab00000-0000-4000-8000-000000000fab http://192.168.7.20:8000/agents/";

/// Set the URLs from which a partner's agent may be downloaded
///
/// The URL prefixes replace the previous ones. Without any, every public https URL is allowed. A
/// URL in a private network is allowed only if it is listed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Allow {
    /// Partner id, or id of the partner at this service
    #[arg(value_name = "PARTNER")]
    partner: String,
    /// URL prefixes
    #[arg(value_name = "URL")]
    urls: Vec<String>,
}

impl Allow {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let path = format!("{}/cloudpc.allowUrls", find(session, &self.partner).await?);
        session.connection.post(&path, &json!({ "urls": self.urls })).await?;
        tell("Replaced the allowed URLs.");
        Ok(())
    }
}
