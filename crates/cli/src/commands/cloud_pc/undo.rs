//! `cloudpc undo`

use clap::Args;
use serde_json::Value;

use crate::commands::Session;
use crate::commands::cloud_pc::Request;
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc undo desk-07
  cloudpc undo desk-07 --wait";

/// Undo the last reprovision, restore, resize or undo of a Cloud PC
///
/// The current disk is kept, so that a second undo restores it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Undo {
    #[command(flatten)]
    request: Request,
}

impl Undo {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        self.request.make(session, "cloudpc.undo", &Value::Null).await
    }
}
