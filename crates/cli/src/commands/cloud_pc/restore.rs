//! `cloudpc restore`

use clap::Args;
use serde_json::json;

use crate::commands::Session;
use crate::commands::cloud_pc::Request;
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc snapshot list desk-07
  cloudpc restore desk-07 CPC_5415d085-50a2-4378-8f80-c99df3052a9e_034a4376-801e-4c18-a00d-d9416386fb8d --wait";

/// Restore a Cloud PC to a restore point
///
/// Discards everything changed since. The current disk is kept for the undo window (7 days by
/// default): `cloudpc undo` restores it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Restore {
    #[command(flatten)]
    request: Request,
    /// Id of the restore point, from `cloudpc snapshot list`
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,
}

impl Restore {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        self.request.make(session, "restore", &json!({ "cloudPcSnapshotId": self.snapshot })).await
    }
}
