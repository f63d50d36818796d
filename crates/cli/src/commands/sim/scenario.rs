//! `cloudpc sim scenario`

use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::PathBuf;

use crate::commands::Session;
use crate::failure::{CommandError, ExitStatus};
use crate::output::{print, tell, text};

const SCENARIO: &str = "/_cloudpc/scenario";

const EXAMPLES: &str = "\
Examples:
  cloudpc sim scenario load scenarios/faulty.toml
  cloudpc sim scenario save > before.toml";

/// Load or save the fleet as a scenario
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Load(Load),
    Save(Save),
}

/// Replace the fleet with that of a TOML file; applications stay
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim scenario load scenarios/faulty.toml")]
pub struct Load {
    /// Scenario file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Print the current fleet as a scenario
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim scenario save > before.toml")]
pub struct Save {}

fn rows(answer: &Value) -> &[Value] {
    answer["generatedPasswords"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn lines(passwords: &[Value]) -> String {
    passwords.iter().map(|row| format!("  {}  {}\n", text(row, "userPrincipalName"), text(row, "password"))).collect()
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        match self {
            Self::Load(Load { file }) => {
                let scenario = std::fs::read_to_string(&file).map_err(|error| {
                    CommandError::new(ExitStatus::NotFound, format!("Cannot read {}: {error}.", file.display()))
                })?;
                let answer = session.connection.post_text(SCENARIO, "application/toml", &scenario).await?;
                tell(&format!("Loaded the fleet of {}.", file.display()));
                match rows(&answer) {
                    [] => Ok(()),
                    passwords => print(&format!("Generated passwords (shown only once):\n{}", lines(passwords))),
                }
            }
            Self::Save(Save {}) => print(&session.connection.get_text(SCENARIO).await?),
        }
    }
}
