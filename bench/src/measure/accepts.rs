//! Durable accepts compared with a raw log: POST requests that are answered after a sync.
//!
//! The rates are shown for scale and are as steady as the disk. Processor time is what is compared:
//! it bounds the rate once there are enough clients to share a sync.

use indicatif::ProgressBar;

use crate::data::PARTNER;
use crate::fleet;
use crate::load::{self, Load, Request, as_f64};
use crate::report::{Row, at_least, median};
use crate::server::Server;
use crate::{BenchError, Plan};

/// Concurrent connections, and the part of [`Plan::writes`] that they send.
const CLIENTS: [(u64, f64); 4] = [(1, 0.1), (16, 0.4), (64, 1.0), (256, 1.0)];
/// Number of connections to which the goal applies.
const CLIENTS_GOAL: u64 = 64;
/// Goal: the raw log's cost as a share of the server's.
const GOAL: f64 = 0.4;

/// Requests to be accepted.
struct Cases {
    log: Vec<u8>,
    reprovisions: Vec<Vec<u8>>,
    deployments: Vec<Vec<u8>>,
}

/// Loads of each case, per round.
#[derive(Default)]
struct Rounds {
    log: Vec<Load>,
    reprovision: Vec<Load>,
    deploy: Vec<Load>,
}

/// Measures accepts on a server with a paused clock. Each machine is reprovisioned once, in the
/// order of the service's list.
pub async fn measure(server: &Server, plan: &Plan, progress: &ProgressBar) -> Result<Vec<Row>, BenchError> {
    let token = server.token().await?;
    progress.set_message("the fleet's ids");
    let devices = fleet::ids(server, &token, "managedDevices").await?;
    let cloud_pcs = fleet::ids(server, &token, "virtualEndpoint/cloudPCs").await?;
    let mut cases = Cases {
        log: Request { method: "POST", path: "/log", token: &token, body: None }.bytes(server.anchors),
        reprovisions: devices.iter().rev().map(|device| fleet::reprovision(server, &token, device)).collect(),
        deployments: cloud_pcs
            .iter()
            .map(|id| fleet::deploy(server, &token, PARTNER, std::slice::from_ref(id)))
            .collect(),
    };
    // The engine claims actions up to its limit; from then on it is idle.
    let running_max = cloudpc_server::config::EngineConfig::default().running_max as u64;
    round(server, &mut cases, 16, running_max.min(plan.machines / 10)).await?;
    let mut lines = Vec::new();
    for (clients, part) in CLIENTS {
        progress.set_message(format!("accepts with {clients} clients"));
        progress.set_length(plan.rounds as u64);
        progress.set_position(0);
        let mut rounds = Rounds::default();
        for _ in 0..plan.rounds {
            let (log, reprovision, deploy) = round(server, &mut cases, clients, count(plan, part)).await?;
            rounds.log.push(log);
            rounds.reprovision.push(reprovision);
            rounds.deploy.push(deploy);
            progress.inc(1);
        }
        lines.push(Row::anchor(format!("raw log, {clients} clients (anchor)"), show(&rounds.log)));
        lines.push(line(format!("reprovisionCloudPc, {clients} clients"), clients, &rounds.log, &rounds.reprovision));
        lines.push(line(format!("deployAgent, {clients} clients"), clients, &rounds.log, &rounds.deploy));
    }
    Ok(lines)
}

/// Returns the number of requests of one measurement; every machine can be reprovisioned only once.
fn count(plan: &Plan, part: f64) -> u64 {
    let parts: f64 = CLIENTS.iter().map(|(_, part)| part).sum();
    let share = as_f64(plan.machines) * 0.9 / parts / as_f64(plan.rounds as u64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number above zero")]
    let count = (part * as_f64(plan.writes).min(share)) as u64;
    count.max(1)
}

async fn round(
    server: &Server,
    cases: &mut Cases,
    clients: u64,
    requests: u64,
) -> Result<(Load, Load, Load), BenchError> {
    let count = usize::try_from(requests)?;
    let log = load::run(server, server.anchors, clients, requests, 204, |_, text| text.extend(&cases.log)).await?;
    let left = cases.reprovisions.len().checked_sub(count).ok_or("there are too few machines")?;
    let reprovisions = cases.reprovisions.split_off(left);
    let at = |number| usize::try_from(number).unwrap_or(0);
    let newest_first = |number: u64, text: &mut Vec<u8>| text.extend(&reprovisions[count - 1 - at(number)]);
    let reprovision = load::run(server, server.address, clients, requests, 204, newest_first).await?;
    let targets = cases.deployments.len();
    let next = |number: u64, text: &mut Vec<u8>| text.extend(&cases.deployments[at(number) % targets]);
    let deploy = load::run(server, server.address, clients, requests, 200, next).await?;
    cases.deployments.rotate_left(count % targets);
    Ok((log, reprovision, deploy))
}

fn line(what: String, clients: u64, log: &[Load], case: &[Load]) -> Row {
    let share = median(log.iter().zip(case).map(|(log, load)| log.processor_us / load.processor_us).collect());
    let mut line = at_least(what, show(case), share, GOAL);
    if clients != CLIENTS_GOAL {
        (line.goal, line.met) = (String::new(), None);
    }
    line
}

fn show(loads: &[Load]) -> String {
    let of = |part: fn(&Load) -> f64| median(loads.iter().map(part).collect());
    format!("{:.0}/s, {:.1} µs", of(|load| load.rate), of(|load| load.processor_us))
}
