//! `cloudpc rename`

use clap::Args;
use serde_json::json;

use crate::commands::Session;
use crate::commands::cloud_pc::Request;
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc rename desk-07 \"Front desk\"
  cloudpc rename desk-07 \"Front desk\" --wait";

/// Change the display name of a Cloud PC
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Rename {
    #[command(flatten)]
    request: Request,
    /// New display name, at most 64 characters
    #[arg(value_name = "NAME")]
    name: String,
}

impl Rename {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        self.request.make(session, "rename", &json!({ "displayName": self.name })).await
    }
}
