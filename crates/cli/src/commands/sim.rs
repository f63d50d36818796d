//! `cloudpc sim`: controls of a simulated fleet.

mod clock;
mod fault;
mod incident;
mod reset;
mod scenario;
mod session;

use clap::Subcommand;

use crate::commands::Session;
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc sim clock pause
  cloudpc sim clock advance 1h30m
  cloudpc sim fault add --cloud-pc desk-07 --step runInstaller --hang
  cloudpc sim incident desk-07 crash
  cloudpc sim session begin desk-07 --ago 2h --lasted 45m
  cloudpc sim scenario load scenarios/fleet-1000.toml";

/// Control a simulated fleet: clock, faults, incidents, sessions and scenario
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    #[command(subcommand)]
    Clock(clock::Command),
    #[command(subcommand)]
    Fault(fault::Command),
    Incident(incident::Incident),
    #[command(subcommand)]
    Session(session::Command),
    #[command(subcommand)]
    Scenario(scenario::Command),
    Reset(reset::Reset),
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        match self {
            Self::Clock(command) => command.run(session).await,
            Self::Fault(command) => command.run(session).await,
            Self::Incident(incident) => incident.run(session).await,
            Self::Session(command) => command.run(session).await,
            Self::Scenario(command) => command.run(session).await,
            Self::Reset(command) => command.run(session).await,
        }
    }
}
