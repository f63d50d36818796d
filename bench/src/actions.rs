//! `cloudpc-bench actions`: what it costs to run accepted actions, on machines that take no time
//! and on a clock that is advanced; and a large fleet while a part of it has actions in flight.

mod in_flight;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::load::{self, Load, Request, as_f64};
use crate::report::{Row, micros, table, within};
use crate::server::{Server, Serving, pin_to_core};
use crate::{BenchError, data, fleet};

/// Connections that accept.
const CLIENTS: u64 = 64;
/// Goal: processor time of a reprovision, its accept left out, microseconds.
const REPROVISION_US: f64 = 250.0;
/// Goal: advancing the clock until 1,000 reprovisions have ended, milliseconds.
const ADVANCE_MS: f64 = 1_000.0;
/// Pause between looks at what is open.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A simulated machine that does everything at once.
const NO_TIME: &str =
    "[pace]\nstop_ms = 0\nboot_ms = 0\ndisk_ms = 0\ntouch_ms = 0\nenrol_ms = 0\nfetch_ms = 0\ninstall_ms = 0\n";

/// Measure the cost of running reprovisions
#[derive(Debug, Args)]
pub struct Actions {
    /// Reprovisions, one of each Cloud PC; given several times, each number is measured
    #[arg(long, default_values_t = [1_000, 10_000])]
    count: Vec<u64>,
    /// Simulated Cloud PCs of the fleet of which one in ten has an action in flight
    #[arg(long, default_value_t = 100_000)]
    machines: u64,
    /// Directory of the test data
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
}

/// What running took.
struct Run {
    accept: Load,
    /// Until nothing is open any more, from the first accept or from the end of the accepts.
    processor: Duration,
    wall: Duration,
}

impl Actions {
    /// Measures and prints the table.
    pub fn run(&self) -> Result<(), BenchError> {
        pin_to_core(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        println!("{}", table(runtime.block_on(Box::pin(self.measure()))?));
        Ok(())
    }

    async fn measure(&self) -> Result<Vec<Row>, BenchError> {
        let style = ProgressStyle::with_template("{elapsed_precise} {msg}")?;
        let progress = ProgressBar::new_spinner().with_style(style);
        progress.enable_steady_tick(Duration::from_millis(200));
        let mut rows = Vec::new();
        for count in self.count.iter().copied() {
            progress.set_message(format!("{count} reprovisions on a clock that is advanced"));
            let advanced = self.advanced(count).await?;
            progress.set_message(format!("{count} reprovisions on machines that take no time"));
            let at_once = self.at_once(count).await?;
            let per = |spent: Duration| spent.as_secs_f64() * 1e6 / as_f64(count);
            // What accepting costs was measured while nothing ran.
            let ran = per(at_once.processor) - advanced.accept.processor_us;
            rows.push(Row::anchor(format!("accepting {count} reprovisions"), micros(advanced.accept.processor_us)));
            rows.push(within(format!("running {count} reprovisions, each"), ran, REPROVISION_US, micros));
            let rate = as_f64(count) / at_once.wall.as_secs_f64();
            rows.push(Row::anchor(format!("accepted and ended, {count} reprovisions"), format!("{rate:.0}/s")));
            let goal = ADVANCE_MS * as_f64(count) / 1_000.0;
            let wall = advanced.wall.as_secs_f64() * 1e3;
            rows.push(within(format!("advancing until {count} reprovisions have ended"), wall, goal, millis));
            rows.push(Row::anchor("the same, processor time of each", micros(per(advanced.processor))));
        }
        progress.set_message(format!("{} Cloud PCs, one in ten with an action", self.machines));
        rows.extend(in_flight::measure(self).await?);
        progress.finish_and_clear();
        Ok(rows)
    }

    /// Accepts on a paused clock, then advances it.
    async fn advanced(&self, count: u64) -> Result<Run, BenchError> {
        let (server, token) = self.start(count, "").await?;
        fleet::pause(&server, &token).await?;
        let accept = accept_all(&server, &token, count).await?;
        let (spent, began) = (server.processor_time()?, Instant::now());
        let advance = Request { method: "POST", path: "/_cloudpc/clock/advanceToIdle", token: &token, body: None };
        while open_actions(&server, &advance).await? > 0 {}
        let run = Run { accept, processor: server.processor_time()? - spent, wall: began.elapsed() };
        server.stop()?;
        Ok(run)
    }

    /// Accepts, and waits until all has run meanwhile.
    async fn at_once(&self, count: u64) -> Result<Run, BenchError> {
        let (server, token) = self.start(count, NO_TIME).await?;
        let (spent, began) = (server.processor_time()?, Instant::now());
        let accept = accept_all(&server, &token, count).await?;
        let look = Request::get("/_cloudpc/clock", &token);
        while open_actions(&server, &look).await? > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let run = Run { accept, processor: server.processor_time()? - spent, wall: began.elapsed() };
        server.stop()?;
        Ok(run)
    }

    /// Starts a server with a new fleet.
    async fn start(&self, count: u64, pace: &str) -> Result<(Server, String), BenchError> {
        let data = self.data();
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        fs::create_dir_all(&data)?;
        let scenario = self.directory.join("actions.toml");
        fs::write(&scenario, format!("{pace}{}", data::fleet(count)))?;
        let server = Server::start(&data, Some(&scenario), Serving::Alone).await?;
        let token = server.token().await?;
        Ok((server, token))
    }

    /// The data directory of the servers, of one at a time.
    fn data(&self) -> PathBuf {
        self.directory.join("actions")
    }
}

/// Accepts a reprovision of each of the first Cloud PCs.
async fn accept_all(server: &Server, token: &str, count: u64) -> Result<Load, BenchError> {
    let devices = fleet::ids(server, token, "managedDevices").await?;
    let devices = devices.iter().take(usize::try_from(count)?);
    let requests: Vec<_> = devices.map(|device| fleet::reprovision(server, token, device)).collect();
    let write = |number: u64, text: &mut Vec<u8>| text.extend(&requests[usize::try_from(number).unwrap_or(0)]);
    load::run(server, server.address, CLIENTS, count, 204, write).await
}

async fn open_actions(server: &Server, request: &Request<'_>) -> Result<u64, BenchError> {
    let answer = load::once(server.address, &request.bytes(server.address)).await?.json()?;
    answer["openActions"].as_u64().ok_or_else(|| format!("no clock: {answer}").into())
}

fn millis(milliseconds: f64) -> String {
    format!("{milliseconds:.0} ms")
}
