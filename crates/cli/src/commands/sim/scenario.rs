//! `cloudpc sim scenario`

use clap::{Args, Subcommand};
use std::path::PathBuf;

use crate::commands::Session;
use crate::failure::{Exit, Failure};
use crate::output::{print, tell};

const SCENARIO: &str = "/_cloudpc/scenario";

const EXAMPLES: &str = "\
Examples:
  cloudpc sim scenario load scenarios/faulty.toml
  cloudpc sim scenario save > before.toml";

/// Replace the fleet by a scenario, or save it as one
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Load(Load),
    Save(Save),
}

/// Replace the fleet by the one that a TOML file describes; applications stay
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim scenario load scenarios/faulty.toml")]
pub struct Load {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Print the present fleet as a scenario
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim scenario save > before.toml")]
pub struct Save {}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Load(Load { file }) => {
                let text = std::fs::read_to_string(&file).map_err(|error| {
                    Failure::new(Exit::NotFound, format!("{} cannot be read: {error}.", file.display()))
                })?;
                session.connection.post_text(SCENARIO, "application/toml", &text).await?;
                tell(&format!("The fleet is now that of {}.", file.display()));
                Ok(())
            }
            Self::Save(Save {}) => print(&session.connection.get_text(SCENARIO).await?),
        }
    }
}
