//! `make bench`: cost of requests, measured on a real server and compared with the best that the
//! same machine can do.
//!
//! This program measures, acts as the client, and starts itself again as the server ([`served`]),
//! on a core of its own if there are two. It reads from `/proc` what that process has used.
//! Wall-clock time is noise on a shared machine; processor time per request, as a ratio to an
//! anchor measured in the same process and round, is not. `bench/README.md` describes the method,
//! the goals and the numbers.

mod actions;
mod anchors;
mod data;
mod fleet;
mod lists;
mod load;
mod machines;
mod measure;
mod report;
mod served;
mod server;

use clap::{Args, Parser, Subcommand};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Errors are only reported, never handled.
type BenchError = Box<dyn Error + Send + Sync>;

/// Measure the resource costs of cloudpc.
#[derive(Debug, Parser)]
#[command(name = "cloudpc-bench")]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    plan: Plan,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Run the measured server; started by this program
    #[command(hide = true)]
    Serve(served::Serve),
    Actions(actions::Actions),
    Lists(lists::Lists),
    Machines(machines::Machines),
}

/// Size of the measurements.
#[derive(Clone, Debug, Args)]
struct Plan {
    /// Deployment results to page through; given twice, the two are compared
    #[arg(long, default_values_t = [1_000_000])]
    rows: Vec<u64>,
    /// Simulated Cloud PCs of the fleet
    #[arg(long, default_value_t = 100_000)]
    machines: u64,
    /// Requests per measurement of reads
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
    /// Requests per measurement of writes; fewer with fewer clients
    #[arg(long, default_value_t = 6_000)]
    writes: u64,
    /// Rounds; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Directory of the test data; kept for the next run
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.role {
        Some(Role::Serve(serve)) => serve.run(),
        Some(Role::Actions(actions)) => actions.run(),
        Some(Role::Lists(lists)) => lists.run(),
        Some(Role::Machines(machines)) => machines.run(),
        None => measure::run(&cli.plan),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
