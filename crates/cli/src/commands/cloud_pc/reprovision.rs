//! `cloudpc reprovision`

use clap::Args;
use serde_json::{Map, Value};

use crate::commands::Session;
use crate::commands::cloud_pc::Request;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  cloudpc reprovision desk-07
  cloudpc reprovision desk-07 --wait
  cloudpc reprovision desk-07 --os windows11 --account administrator";

/// Wipe a Cloud PC and set it up again from its image
///
/// All data, applications and settings on it are gone. The old disk is kept for some days: `cloudpc undo` brings it back.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Reprovision {
    #[command(flatten)]
    request: Request,
    /// Operating system to set up, instead of the present one
    #[arg(long, value_name = "SYSTEM", value_parser = ["windows10", "windows11"])]
    os: Option<String>,
    /// Rights of the user on it, instead of the present ones
    #[arg(long, value_name = "TYPE", value_parser = ["standardUser", "administrator"])]
    account: Option<String>,
}

impl Reprovision {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut body = Map::new();
        body.extend(self.os.map(|os| ("osVersion".to_owned(), Value::String(os))));
        body.extend(self.account.map(|account| ("userAccountType".to_owned(), Value::String(account))));
        self.request.make(session, "reprovision", &Value::Object(body)).await
    }
}
