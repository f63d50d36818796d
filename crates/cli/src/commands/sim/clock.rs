//! `cloudpc sim clock`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::commands::Session;
use crate::failure::CommandError;
use crate::output::{Column, text, time};

const CLOCK: &str = "/_cloudpc/clock";

const EXAMPLES: &str = "\
Examples:
  cloudpc sim clock show
  cloudpc sim clock pause
  cloudpc sim clock advance 1h30m
  cloudpc sim clock idle
  cloudpc sim clock resume";

const ADVANCE_EXAMPLES: &str = "\
Examples:
  cloudpc sim clock advance 90s
  cloudpc sim clock advance 1h30m
  cloudpc sim clock advance 7d";

const COLUMNS: &[Column] = &[
    ("NOW", |row| time(row, "now")),
    ("PAUSED", |row| text(row, "paused")),
    ("NEXT EVENT", |row| time(row, "nextWake")),
    ("ADVANCED BY", |row| text(row, "movedBy")),
    ("OPEN ACTIONS", |row| text(row, "openActions")),
];

/// Control the clock of the fleet
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Show(Show),
    Pause(Pause),
    Resume(Resume),
    Advance(Advance),
    Idle(Idle),
}

/// Show the time and whether the clock is paused
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim clock show")]
pub struct Show {}

/// Pause the clock
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim clock pause")]
pub struct Pause {}

/// Resume the clock
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim clock resume")]
pub struct Resume {}

/// Advance the clock; events on the way happen in order, each at its own time
#[derive(Debug, Args)]
#[command(after_help = ADVANCE_EXAMPLES)]
pub struct Advance {
    /// Duration, such as 90s, 1h30m, 7d or PT1H30M
    #[arg(value_name = "DURATION")]
    by: String,
}

/// Advance the clock until nothing is left to do; a stuck action stays open
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim clock idle")]
pub struct Idle {}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let connection = &session.connection;
        let answer = match self {
            Self::Show(Show {}) => connection.get(CLOCK).await?,
            Self::Pause(Pause {}) => connection.post(&format!("{CLOCK}/pause"), &Value::Null).await?,
            Self::Resume(Resume {}) => connection.post(&format!("{CLOCK}/resume"), &Value::Null).await?,
            Self::Advance(Advance { by }) => connection.post(&format!("{CLOCK}/advance"), &json!({ "by": by })).await?,
            Self::Idle(Idle {}) => connection.post(&format!("{CLOCK}/advanceToIdle"), &Value::Null).await?,
        };
        session.format.row(&answer, COLUMNS)
    }
}
