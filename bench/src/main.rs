//! `make bench`: what a request costs, measured on a real server and set against what the same
//! machine can do at best.
//!
//! This program measures and is the client. It starts itself again as the server ([`served`]), on a
//! core of its own where there are two, and reads from `/proc` what that process has spent.
//! Wall-clock is noise on a shared machine; processor time per request, as a ratio to an anchor
//! that is measured in the same process and the same round, is not. See `bench/README.md` for the
//! method, the goals and the numbers.

mod anchors;
mod data;
mod fleet;
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

/// Nothing here is handled, only told.
type BenchError = Box<dyn Error + Send + Sync>;

/// Measure what cloudpc costs.
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
    /// The server that is measured; this program starts it.
    #[command(hide = true)]
    Serve(served::Serve),
    Machines(machines::Machines),
}

/// How much is measured.
#[derive(Clone, Debug, Args)]
struct Plan {
    /// Deployment results to page through; given twice, the two are compared
    #[arg(long, default_values_t = [1_000_000])]
    rows: Vec<u64>,
    /// Simulated Cloud PCs of the fleet
    #[arg(long, default_value_t = 100_000)]
    machines: u64,
    /// Requests of one measurement of reads
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
    /// Requests of one measurement of writes; fewer with fewer clients
    #[arg(long, default_value_t = 6_000)]
    writes: u64,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Where the data is made; kept there for the next run
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.role {
        Some(Role::Serve(serve)) => serve.run(),
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
