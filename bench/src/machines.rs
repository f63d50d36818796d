//! `cloudpc-bench machines`: what a reprovision of a real machine takes, set against the same QEMU
//! commands without a service.
//!
//! Both reprovision a machine of their own, in turn, from one image and by one command line: that
//! of the server's machine. The bare one asks it to power off, lays a new disk over the image,
//! starts it and asks its agent until it answers. Most of the time is the guest's own start, under
//! software emulation; what the service adds is the difference.

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

/// Most time of a reprovision, of the bare one's.
const TIME_GOAL: f64 = 1.05;

/// How often the server is asked whether it is done.
const POLL: Duration = Duration::from_millis(10);

/// Longest reprovision; then something has failed.
const TIME_MAX: Duration = Duration::from_secs(180);

const IMAGE: &str = "cloudpc_linux_bench";

/// Measure what a reprovision of a real machine costs
#[derive(Debug, Args)]
pub struct Machines {
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Machines of the fleet, of which one is reprovisioned
    #[arg(long, default_value_t = 3)]
    machines: u32,
    /// Where the image and the machines are made; emptied first
    #[arg(long, default_value = "target/bench-machines")]
    directory: PathBuf,
}

/// What one reprovision took.
struct Took {
    seconds: f64,
    /// Processor time of the server.
    processor: Duration,
    /// Seconds of each step, in order.
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
        // The first one waits for the boots of the others.
        reprovision(server, &token, id).await?;
        let machine = data.join("qemu/machines").join(id);
        let mut bare = Bare::beside(&machine, &self.directory.join("bare")).await?;
        bare.reprovision().await?;
        progress.inc(1);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            progress.set_message(format!("round {}", round + 1));
            theirs.push(bare.reprovision().await?);
            ours.push(reprovision(server, &token, id).await?);
            progress.inc(1);
        }
        let held = (as_f64(server.memory()?) - before) / f64::from(self.machines);
        Ok(rows(&ours, theirs, held, self.machines))
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

fn rows(ours: &[Took], theirs: Vec<f64>, held: f64, machines: u32) -> Vec<Row> {
    let seconds = |seconds: f64| format!("{seconds:.2} s");
    let took = median(ours.iter().map(|took| took.seconds).collect());
    let bare = median(theirs);
    let processor = median(ours.iter().map(|took| took.processor.as_secs_f64()).collect());
    let mut rows = vec![
        Row::anchor("reprovision, the QEMU commands alone (anchor)", seconds(bare)),
        at_most("reprovision, from its request to done".into(), seconds(took), took / bare, TIME_GOAL),
        Row::anchor("  processor time of the server", format!("{:.0} ms", processor * 1e3)),
    ];
    let names: Vec<_> = ours.first().into_iter().flat_map(|took| &took.steps).map(|(name, _)| name.clone()).collect();
    for name in names {
        let of = |took: &Took| took.steps.iter().find(|(step, _)| *step == name).map(|(_, seconds)| *seconds);
        let step = median(ours.iter().filter_map(of).collect());
        rows.push(Row::anchor(format!("  step {name}"), format!("{:.0} ms", step * 1e3)));
    }
    let held = format!("{:.0} KiB", held / 1024.0);
    rows.push(Row::anchor(format!("memory of the server for one of {machines} machines"), held));
    rows
}

/// Reprovisions a machine through the service.
async fn reprovision(server: &Server, token: &str, id: &str) -> Result<Took, BenchError> {
    let path = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{id}");
    let (spent, began) = (server.processor_time()?, Instant::now());
    let body = Some(("application/json", "{}".to_owned()));
    let request = Request { method: "POST", path: &format!("{path}/reprovision"), token, body };
    let answer = load::once(server.address, &request.bytes(server.address)).await?;
    if answer.status != 204 {
        return Err(format!("not accepted: {}", String::from_utf8_lossy(&answer.body)).into());
    }
    let look = format!("{path}/cloudpc.actions?$top=1");
    loop {
        let answer = load::once(server.address, &Request::get(&look, token).bytes(server.address)).await?.json()?;
        let action = &answer["value"][0];
        match action["state"].as_str() {
            Some("done") => {
                let processor = server.processor_time()? - spent;
                return Ok(Took { seconds: began.elapsed().as_secs_f64(), processor, steps: steps(action)? });
            }
            Some("pending" | "running") if began.elapsed() < TIME_MAX => tokio::time::sleep(POLL).await,
            _ => return Err(format!("the reprovision is not done: {action}").into()),
        }
    }
}

/// How long each step of an action took.
fn steps(action: &Value) -> Result<Vec<(String, f64)>, BenchError> {
    let mut steps = Vec::new();
    for step in action["steps"].as_array().into_iter().flatten() {
        let time = |name: &str| step[name].as_str().unwrap_or_default().parse::<jiff::Timestamp>();
        let took = time("endedDateTime")?.duration_since(time("startedDateTime")?);
        steps.push((step["name"].as_str().unwrap_or_default().to_owned(), took.as_secs_f64()));
    }
    Ok(steps)
}

/// Ends the machines, which would outlive the service.
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
