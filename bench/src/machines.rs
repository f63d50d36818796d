//! `cloudpc-bench machines`: cost of reprovisioning a real machine, compared with the same QEMU
//! commands without a service.
//!
//! Both reprovision a machine of their own, in turn, from one image and with one command line: that
//! of the server's machine. The baseline powers its machine off, creates a new overlay disk on the
//! image, starts the machine and pings its agent until it responds. Most of the time is the guest's
//! own boot under software emulation; the service adds the difference.

mod bare;

use clap::Args;
use cloudpc_server::images::{self, ImageId, ImageRecipe};
use indicatif::ProgressBar;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::load::{self, Request, as_f64};
use crate::report::{Row, at_most, median, table};
use crate::server::{Server, Serving};
use crate::{BenchError, fleet};
use bare::Bare;

/// Maximum duration of a reprovision, relative to the baseline.
const TIME_GOAL: f64 = 1.05;

/// Polling interval.
const POLL: Duration = Duration::from_millis(10);

/// Timeout of a reprovision.
const TIME_MAX: Duration = Duration::from_secs(180);

const IMAGE: &str = "cloudpc_linux_bench";

/// Measure the cost of reprovisioning a real machine
#[derive(Debug, Args)]
pub struct Machines {
    /// Rounds; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Machines of the fleet, one of which is reprovisioned
    #[arg(long, default_value_t = 3)]
    machines: u32,
    /// Directory of the image and the machines; emptied first
    #[arg(long, default_value = "target/bench-machines")]
    directory: PathBuf,
}

/// Cost of one reprovision.
struct ReprovisionCost {
    seconds: f64,
    /// Processor time of the server.
    processor: Duration,
    /// Duration of each step in order, seconds.
    steps: Vec<(String, f64)>,
}

impl Machines {
    /// Measures and prints the table.
    pub fn run(&self) -> Result<(), BenchError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let rows = runtime.block_on(Box::pin(self.measure()))?;
        println!("{}", table(rows));
        Ok(())
    }

    async fn measure(&self) -> Result<Vec<Row>, BenchError> {
        let progress = ProgressBar::new(self.rounds as u64 + 2).with_message("image");
        progress.enable_steady_tick(Duration::from_millis(200));
        let data = self.directory.join("data");
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        fs::create_dir_all(&data)?;
        let empty = Server::start(&data, None, Serving::Machines).await?;
        let before = as_f64(empty.memory()?);
        empty.stop()?;
        fs::remove_dir_all(&data)?;
        images::open(&data)?.build(ImageRecipe::Test, &ImageId(IMAGE.into()), &mut |_| {})?;
        let scenario = self.directory.join("fleet.toml");
        fs::write(&scenario, self.scenario())?;
        progress.inc(1);
        progress.set_message("first boots");
        let server = Server::start(&data, Some(&scenario), Serving::Machines).await?;
        let ended = self.rounds(&server, &data, before, &progress).await;
        end_machines(&data)?;
        server.stop()?;
        progress.finish_and_clear();
        ended
    }

    async fn rounds(
        &self,
        server: &Server,
        data: &Path,
        before: f64,
        progress: &ProgressBar,
    ) -> Result<Vec<Row>, BenchError> {
        let token = server.token().await?;
        let ids = fleet::ids(server, &token, "virtualEndpoint/cloudPCs").await?;
        let id = ids.first().ok_or("the fleet has machines")?;
        // The first machine waits for the others to boot.
        reprovision(server, &token, id).await?;
        let machine = data.join("qemu/machines").join(id);
        let mut bare = Bare::beside(&machine, &self.directory.join("bare")).await?;
        bare.reprovision().await?;
        progress.inc(1);
        let (mut service, mut baseline) = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            progress.set_message(format!("round {}", round + 1));
            baseline.push(bare.reprovision().await?);
            service.push(reprovision(server, &token, id).await?);
            progress.inc(1);
        }
        let held = (as_f64(server.memory()?) - before) / f64::from(self.machines);
        Ok(rows(&service, baseline, held, self.machines))
    }

    fn scenario(&self) -> String {
        format!(
            "[[tenants]]\nname = 'Contoso'\ndomain = 'contoso.test'\nusers = [{{ name = 'ada' }}]\n\
             service_plans = [{{ name = 'small', vcpu_count = 1, ram_gib = 1, storage_gib = 3, product = 'business' }}]\n\
             gallery_images = [{{ id = '{IMAGE}', name = 'Linux', size_gib = 1, os_version = 'windows11' }}]\n\
             fleets = [{{ count = {}, name = 'desk-{{number}}', service_plans = ['small'] }}]\n",
            self.machines
        )
    }
}

fn rows(service: &[ReprovisionCost], baseline: Vec<f64>, held: f64, machines: u32) -> Vec<Row> {
    let seconds = |seconds: f64| format!("{seconds:.2} s");
    let duration = median(service.iter().map(|cost| cost.seconds).collect());
    let bare = median(baseline);
    let processor = median(service.iter().map(|cost| cost.processor.as_secs_f64()).collect());
    let mut rows = vec![
        Row::anchor("reprovision, the QEMU commands alone (anchor)", seconds(bare)),
        at_most("reprovision, from its request to done".into(), seconds(duration), duration / bare, TIME_GOAL),
        Row::anchor("  processor time of the server", format!("{:.0} ms", processor * 1e3)),
    ];
    let names: Vec<_> =
        service.first().into_iter().flat_map(|cost| &cost.steps).map(|(name, _)| name.clone()).collect();
    for name in names {
        let of =
            |cost: &ReprovisionCost| cost.steps.iter().find(|(step, _)| *step == name).map(|(_, seconds)| *seconds);
        let step = median(service.iter().filter_map(of).collect());
        rows.push(Row::anchor(format!("  step {name}"), format!("{:.0} ms", step * 1e3)));
    }
    let held = format!("{:.0} KiB", held / 1024.0);
    rows.push(Row::anchor(format!("memory of the server for one of {machines} machines"), held));
    rows
}

/// Reprovisions a machine through the service.
async fn reprovision(server: &Server, token: &str, id: &str) -> Result<ReprovisionCost, BenchError> {
    let path = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{id}");
    let (spent, began) = (server.processor_time()?, Instant::now());
    let body = Some(("application/json", "{}".to_owned()));
    let request = Request { method: "POST", path: &format!("{path}/reprovision"), token, body };
    let answer = load::once(server.address, &request.bytes(server.address)).await?;
    if answer.status != 204 {
        return Err(format!("the reprovision was rejected: {}", String::from_utf8_lossy(&answer.body)).into());
    }
    let look = format!("{path}/cloudpc.actions?$top=1");
    loop {
        let answer = load::once(server.address, &Request::get(&look, token).bytes(server.address)).await?.json()?;
        let action = &answer["value"][0];
        match action["state"].as_str() {
            Some("done") => {
                let processor = server.processor_time()? - spent;
                return Ok(ReprovisionCost {
                    seconds: began.elapsed().as_secs_f64(),
                    processor,
                    steps: steps(action)?,
                });
            }
            Some("pending" | "running") if began.elapsed() < TIME_MAX => tokio::time::sleep(POLL).await,
            _ => return Err(format!("the reprovision failed or timed out: {action}").into()),
        }
    }
}

/// Returns the duration of each step of an action.
fn steps(action: &Value) -> Result<Vec<(String, f64)>, BenchError> {
    let mut steps = Vec::new();
    for step in action["steps"].as_array().into_iter().flatten() {
        let time = |name: &str| step[name].as_str().unwrap_or_default().parse::<jiff::Timestamp>();
        let duration = time("endedDateTime")?.duration_since(time("startedDateTime")?);
        steps.push((step["name"].as_str().unwrap_or_default().to_owned(), duration.as_secs_f64()));
    }
    Ok(steps)
}

/// Stops the machines, which would outlive the service.
fn end_machines(data: &Path) -> Result<(), BenchError> {
    let running: HashMap<String, u32> = bare::processes("qemu-system-x86_64")?;
    for machine in fs::read_dir(data.join("qemu/machines"))? {
        let name = machine?.file_name();
        for (command_line, pid) in &running {
            if command_line.contains(&*name.to_string_lossy()) {
                std::process::Command::new("kill").args(["-9", &pid.to_string()]).status()?;
            }
        }
    }
    Ok(())
}
