//! `cloudpc keys`: the token signing keys.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::commands::Session;
use crate::failure::CommandError;
use crate::output::tell;

const EXAMPLES: &str = "\
Examples:
  cloudpc keys rotate
  cloudpc keys rotate --drop-old";

/// Manage the token signing keys
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Rotate(Rotate),
}

/// Create a new signing key
///
/// Tokens signed with the old key stay valid until they expire, unless --drop-old is given. The
/// service rotates the key itself at the first start after 90 days.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Rotate {
    /// Reject all existing tokens immediately, for use after a leak
    #[arg(long)]
    drop_old: bool,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let Self::Rotate(Rotate { drop_old }) = self;
        session.connection.post("/_cloudpc/keys/rotate", &json!({ "dropOld": drop_old })).await?;
        tell(match drop_old {
            true => "Rotated the signing key. All existing tokens are rejected; clients must request new ones.",
            false => "Rotated the signing key. Existing tokens stay valid until they expire.",
        });
        Ok(())
    }
}
