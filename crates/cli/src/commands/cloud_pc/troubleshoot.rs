//! `cloudpc troubleshoot`

use clap::Args;
use serde_json::Value;

use crate::commands::Session;
use crate::commands::cloud_pc::Request;
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc troubleshoot desk-07
  cloudpc troubleshoot desk-07 --wait";

/// Check the health of a Cloud PC
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Troubleshoot {
    #[command(flatten)]
    request: Request,
}

impl Troubleshoot {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        self.request.make(session, "troubleshoot", &Value::Null).await
    }
}
