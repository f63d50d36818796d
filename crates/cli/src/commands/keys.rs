//! `cloudpc keys`: the keys that tokens are signed with.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::tell;

const EXAMPLES: &str = "\
Examples:
  cloudpc keys rotate
  cloudpc keys rotate --drop-old";

/// Rotate the keys that tokens are signed with
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Rotate(Rotate),
}

/// Make a new signing key
///
/// The tokens that the old one signed stay good until they expire, unless it is dropped. The service also does this by itself, at the first start after 90 days.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Rotate {
    /// After a leak: refuse every token that was made before, at once
    #[arg(long)]
    drop_old: bool,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::Rotate(Rotate { drop_old }) = self;
        session.connection.post("/_cloudpc/keys/rotate", &json!({ "dropOld": drop_old })).await?;
        tell(match drop_old {
            true => {
                "New tokens are signed with a new key. Every token from before is refused; clients have to get new ones."
            }
            false => "New tokens are signed with a new key. Those from before stay good until they expire.",
        });
        Ok(())
    }
}
