//! `cloudpc reboot`

use clap::Args;
use serde_json::Value;

use crate::commands::Session;
use crate::commands::cloud_pc::Request;
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc reboot desk-07
  cloudpc reboot desk-07 --wait";

/// Restart a Cloud PC
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Reboot {
    #[command(flatten)]
    request: Request,
}

impl Reboot {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        self.request.make(session, "reboot", &Value::Null).await
    }
}
