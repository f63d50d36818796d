//! `cloudpc partner allow`

use clap::Args;
use serde_json::json;

use crate::commands::Session;
use crate::commands::partner::find;
use crate::failure::Failure;
use crate::output::tell;

const EXAMPLES: &str = "\
Examples:
  cloudpc partner allow fab00000-0000-4000-8000-000000000fab https://agents.fabrikam.test/
  cloudpc partner allow fab00000-0000-4000-8000-000000000fab http://192.168.7.20:8000/agents/";

/// Say where the agent of a partner may be fetched from
///
/// The addresses are prefixes and replace those allowed before. Without any, every public https address is allowed. An address in a private
/// network may be fetched from only if it is listed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Allow {
    /// The partner: its own id, or its id here
    #[arg(value_name = "PARTNER")]
    partner: String,
    /// Prefixes of addresses
    #[arg(value_name = "URL")]
    urls: Vec<String>,
}

impl Allow {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let path = format!("{}/cloudpc.allowUrls", find(session, &self.partner).await?);
        session.connection.post(&path, &json!({ "urls": self.urls })).await?;
        tell("The allowed addresses are replaced.");
        Ok(())
    }
}
