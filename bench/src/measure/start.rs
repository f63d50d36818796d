//! Duration of a start, and memory of an idle server.

use indicatif::ProgressBar;
use std::path::Path;

use crate::load::as_f64;
use crate::report::{Row, median, within};
use crate::server::{Server, Serving};
use crate::{BenchError, Plan};

/// Goal: maximum duration of a start, seconds.
const READY_GOAL_S: f64 = 0.1;
/// Goal: maximum memory of an idle server without a fleet, bytes.
const IDLE_GOAL_BYTES: f64 = 25.0 * MIB;
/// Goal: maximum memory per simulated Cloud PC, bytes.
const MACHINE_GOAL_BYTES: f64 = 1_500.0;

const MIB: f64 = 1024.0 * 1024.0;

/// Measures a server without a fleet, and one on `data`, which holds `rows` results.
pub async fn measure(data: &Path, plan: &Plan, rows: u64, progress: &ProgressBar) -> Result<Vec<Row>, BenchError> {
    progress.set_message("starts");
    let empty = plan.directory.join("empty");
    // The first start creates keys, once per installation.
    Server::start(&empty, None, Serving::Alone).await?.stop()?;
    let (idle_s, idle_bytes) = starts(&empty, plan.rounds).await?;
    let (full_s, full_bytes) = starts(data, plan.rounds).await?;
    let machine_bytes = (full_bytes - idle_bytes) / as_f64(plan.machines);
    let ms = |seconds: f64| format!("{:.0} ms", seconds * 1e3);
    Ok(vec![
        within("start to ready, no fleet".into(), idle_s, READY_GOAL_S, ms),
        within(format!("start to ready, {} Cloud PCs and {rows} results", plan.machines), full_s, READY_GOAL_S, ms),
        within("memory, idle, no fleet".into(), idle_bytes, IDLE_GOAL_BYTES, |bytes| format!("{:.1} MiB", bytes / MIB)),
        within(
            format!("memory of one of {} simulated Cloud PCs", plan.machines),
            machine_bytes,
            MACHINE_GOAL_BYTES,
            |bytes| format!("{bytes:.0} B"),
        ),
    ])
}

/// Returns the seconds until the server is ready, and its memory then, bytes.
async fn starts(data: &Path, rounds: usize) -> Result<(f64, f64), BenchError> {
    let (mut seconds, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let server = Server::start(data, None, Serving::Alone).await?;
        seconds.push(server.ready_after.as_secs_f64());
        bytes.push(as_f64(server.memory()?));
        server.stop()?;
    }
    Ok((median(seconds), median(bytes)))
}
