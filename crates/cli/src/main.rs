//! The `cloudpc` program: `serve` runs the service, every other command is a client.
//!
//! Data goes to standard output, everything else to standard error; exit codes are in [`failure`].

mod cli;
mod commands;
mod connection;
mod failure;
mod output;
mod signals;
mod wait;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failure::CommandError::local(format!("Cannot start the runtime: {error}.")).report();
        }
    };
    match runtime.block_on(Box::pin(commands::run(cli))) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
