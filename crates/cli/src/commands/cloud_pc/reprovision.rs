//! `cloudpc reprovision`

use clap::Args;
use serde_json::{Map, Value};

use crate::commands::Session;
use crate::commands::cloud_pc::Request;
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc reprovision desk-07
  cloudpc reprovision desk-07 --wait
  cloudpc reprovision desk-07 --os windows11 --account administrator";

/// Wipe a Cloud PC and reinstall it from its image
///
/// Removes all data, applications and settings. The old disk is kept for the undo window (7 days by
/// default): `cloudpc undo` restores it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Reprovision {
    #[command(flatten)]
    request: Request,
    /// Operating system to install [default: the current one]
    #[arg(long, value_name = "SYSTEM", value_parser = ["windows10", "windows11"])]
    os: Option<String>,
    /// Account type of the user [default: the current one]
    #[arg(long, value_name = "TYPE", value_parser = ["standardUser", "administrator"])]
    account: Option<String>,
}

impl Reprovision {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let mut body = Map::new();
        body.extend(self.os.map(|os| ("osVersion".to_owned(), Value::String(os))));
        body.extend(self.account.map(|account| ("userAccountType".to_owned(), Value::String(account))));
        self.request.make(session, "reprovision", &Value::Object(body)).await
    }
}
