//! `cloudpc power`

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::commands::Session;
use crate::commands::cloud_pc::Request;
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc power off desk-07 --wait
  cloudpc power on desk-07";

/// Power a Cloud PC on or off
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    On(On),
    Off(Off),
}

/// Power a Cloud PC on
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc power on desk-07 --wait")]
pub struct On {
    #[command(flatten)]
    request: Request,
}

/// Power a Cloud PC off
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc power off desk-07 --wait")]
pub struct Off {
    #[command(flatten)]
    request: Request,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        match self {
            Self::On(on) => on.request.make(session, "powerOn", &Value::Null).await,
            Self::Off(off) => off.request.make(session, "powerOff", &Value::Null).await,
        }
    }
}
