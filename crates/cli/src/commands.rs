//! The commands, one file each, in a folder for each noun.

mod app;
pub mod cloud_pc;
mod completions;
mod events;
mod exec;
mod image;
mod keys;
mod partner;
mod serve;
mod sim;
mod token;

use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::Cli;
use crate::connection::ServiceConnection;
use crate::failure::CommandError;
use crate::output::Format;

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(serve::Serve),
    #[command(flatten)]
    CloudPc(cloud_pc::Command),
    #[command(subcommand)]
    Partner(partner::Command),
    #[command(subcommand)]
    App(app::Command),
    Token(token::Token),
    Events(events::Events),
    Exec(exec::Exec),
    #[command(subcommand)]
    Keys(keys::Command),
    #[command(subcommand)]
    Sim(sim::Command),
    #[command(subcommand)]
    Image(image::Command),
    Completions(completions::Completions),
}

/// What a client command needs: a connection to the service and an output format.
pub struct Session {
    pub connection: ServiceConnection,
    pub format: Format,
}

/// Runs a command; returns the exit code.
pub async fn run(cli: Cli) -> Result<ExitCode, CommandError> {
    let (data, format) = (cli.global.data, cli.global.output);
    match cli.command {
        Command::Exec(exec) => return exec.run(data).await,
        Command::Serve(serve) => serve.run(data).await,
        Command::Completions(completions) => completions.run(),
        Command::Image(command) => command.run(data, format).await,
        Command::CloudPc(command) => command.run(&open(data, format).await?).await,
        Command::Partner(command) => command.run(&open(data, format).await?).await,
        Command::App(command) => command.run(&open(data, format).await?).await,
        Command::Keys(command) => command.run(&open(data, format).await?).await,
        Command::Events(command) => command.run(&open(data, format).await?).await,
        Command::Token(command) => command.run(&open(data, format).await?).await,
        Command::Sim(command) => command.run(&open(data, format).await?).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn open(data: Option<PathBuf>, format: Format) -> Result<Session, CommandError> {
    Ok(Session { connection: ServiceConnection::open(data).await?, format })
}
