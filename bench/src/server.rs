//! Control of the measured process: start, resource usage, stop.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{self, Request};
use crate::{BenchError, served};

/// A running server process.
pub struct Server {
    process: Child,
    /// Address of the server.
    pub address: SocketAddr,
    /// Address of the anchors.
    pub anchors: SocketAddr,
    /// Time from process start to the first response.
    pub ready_after: Duration,
    data: PathBuf,
}

/// Parts that the process serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Only the server.
    Alone,
    /// The server and the anchors.
    WithAnchors,
    /// Only the server, with real machines; it may use every core, as they do.
    Machines,
}

/// Pins this process to one core, if there are others for the rest. Failure is ignored: it only
/// makes the measurements noisier.
pub fn pin_to_core(core: usize) {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        let mut cores = CpuSet::new();
        cores.set(core);
        let _ = sched_setaffinity(None::<Pid>, &cores);
    }
}

impl Server {
    /// Starts a server on a data directory; returns when the server is ready.
    pub async fn start(data: &Path, scenario: Option<&Path>, serving: Serving) -> Result<Self, BenchError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg("--data").arg(data).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(scenario) = scenario {
            command.arg("--scenario").arg(scenario);
        }
        match serving {
            Serving::Alone => {}
            Serving::WithAnchors => _ = command.arg("--anchors"),
            Serving::Machines => _ = command.arg("--machines"),
        }
        let began = Instant::now();
        let mut process = command.spawn()?;
        let out = process.stdout.take().ok_or("its output is piped")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let addresses = line.trim().strip_prefix(served::READY).and_then(|rest| rest.trim().split_once(' '));
        let (address, anchors) = addresses.ok_or("the server did not start; see its output above")?;
        let (address, anchors) = (address.parse()?, anchors.parse()?);
        let ready = Request::get("/readyz", "").bytes(address);
        while load::once(address, &ready).await?.status != 200 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Self { process, address, anchors, ready_after: began.elapsed(), data: data.to_owned() })
    }

    /// Returns a token of the server's administrator.
    pub async fn token(&self) -> Result<String, BenchError> {
        let admin: Value = serde_json::from_slice(&fs::read(self.data.join("admin.json"))?)?;
        let text = |name: &str| admin[name].as_str().unwrap_or_default().to_owned();
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
            text("clientId"),
            text("clientSecret")
        );
        let request = Request {
            method: "POST",
            path: &format!("/{}/oauth2/v2.0/token", text("tenantId")),
            token: "",
            body: Some(("application/x-www-form-urlencoded", form)),
        };
        let answer = load::once(self.address, &request.bytes(self.address)).await?.json()?;
        Ok(answer["access_token"].as_str().ok_or_else(|| format!("no token: {answer}"))?.to_owned())
    }

    /// Returns the processor time that the server's threads have used so far.
    pub fn processor_time(&self) -> Result<Duration, BenchError> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            // A thread may end meanwhile; its time is lost, but it was short-lived.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanoseconds += text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Returns the resident memory, program text included, bytes.
    pub fn memory(&self) -> Result<u64, BenchError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("the system does not report resident memory")?;
        let kib = line.split_whitespace().next().ok_or("the system does not report resident memory")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// Stops the server gracefully.
    pub fn stop(mut self) -> Result<(), BenchError> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the server ended with {status}").into()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process has already ended, unless something failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
