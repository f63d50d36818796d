//! A large fleet of which one Cloud PC in ten has an action in flight: start, memory, and the cost
//! of a page beside the running actions.

use std::time::Duration;

use super::{Actions, accept_all, millis};
use crate::BenchError;
use crate::load::{self, CLIENTS_READING, Request, as_f64};
use crate::report::{Row, at_most, micros, within};
use crate::server::{Server, Serving};

/// Cloud PCs for each one with an action.
const MACHINES_PER_ACTION: u64 = 10;
/// Goal: start to ready, milliseconds.
const READY_MS: f64 = 500.0;
/// Goal: memory after the reads, MiB.
const MEMORY_MIB: f64 = 2_048.0;
/// Goal: cost of a page beside the actions, in pages of the quiet fleet.
const PAGE_RATIO: f64 = 2.0;
/// Reads of one measurement.
const READS: u64 = 2_000;
/// Time that a server has to take up its actions before the reads.
const SETTLE: Duration = Duration::from_secs(5);

/// Measures on a new fleet whose clock follows that of the host, as it does by default.
pub async fn measure(plan: &Actions) -> Result<Vec<Row>, BenchError> {
    let (machines, actions) = (plan.machines, (plan.machines / MACHINES_PER_ACTION).max(1));
    let (server, token) = plan.start(machines, "").await?;
    let quiet_us = pages(&server, &token).await?;
    accept_all(&server, &token, actions).await?;
    server.stop()?;
    let server = Server::start(&plan.data(), None, Serving::Alone).await?;
    let ready_ms = server.ready_after.as_secs_f64() * 1e3;
    tokio::time::sleep(SETTLE).await;
    let token = server.token().await?;
    let beside_us = pages(&server, &token).await?;
    let memory_mib = as_f64(server.memory()?) / 1024.0 / 1024.0;
    server.stop()?;
    let of = format!("{machines} Cloud PCs, {actions} with an action");
    Ok(vec![
        within(format!("start to ready, {of}"), ready_ms, READY_MS, millis),
        within(format!("memory, {of}"), memory_mib, MEMORY_MIB, |mib| format!("{mib:.0} MiB")),
        Row::anchor(format!("a page of {machines} quiet Cloud PCs (anchor)"), micros(quiet_us)),
        at_most(
            "a page beside the actions, their work included".into(),
            micros(beside_us),
            beside_us / quiet_us,
            PAGE_RATIO,
        ),
    ])
}

/// Returns the processor time of the server for each page read, microseconds.
async fn pages(server: &Server, token: &str) -> Result<f64, BenchError> {
    let page = Request::get("/beta/deviceManagement/virtualEndpoint/cloudPCs", token).bytes(server.address);
    let write = |_, text: &mut Vec<u8>| text.extend(&page);
    Ok(load::run(server, server.address, CLIENTS_READING, READS, 200, write).await?.processor_us)
}
