//! What a start takes, and what a server holds that nobody asks anything.

use indicatif::ProgressBar;
use std::path::Path;

use crate::report::{Row, median};
use crate::server::{Server, Serving};
use crate::{Failure, Plan};

/// Longest start, seconds.
const READY_GOAL_S: f64 = 0.1;
/// Most memory of an idle server without a fleet, MiB.
const IDLE_GOAL_MIB: f64 = 25.0;
/// Most memory of a simulated Cloud PC, bytes.
const MACHINE_GOAL_BYTES: f64 = 1_500.0;

const MIB: f64 = 1024.0 * 1024.0;

/// Starts a server without a fleet, and one on `data`, which holds `rows` results.
pub async fn measure(data: &Path, plan: &Plan, rows: u64, progress: &ProgressBar) -> Result<Vec<Row>, Failure> {
    progress.set_message("starts");
    let empty = plan.directory.join("empty");
    // The first start makes keys; it happens once in the life of an installation.
    Server::start(&empty, None, Serving::Alone).await?.stop()?;
    let (idle_s, idle_bytes) = starts(&empty, plan.rounds).await?;
    let (full_s, full_bytes) = starts(data, plan.rounds).await?;
    let machine_bytes = (full_bytes - idle_bytes) / crate::load::as_f64(plan.machines);
    Ok(vec![
        ready("ready, without a fleet".into(), idle_s),
        ready(format!("ready, {} Cloud PCs and {rows} results", plan.machines), full_s),
        Row {
            what: "memory of an idle server".into(),
            value: format!("{:.1} MiB", idle_bytes / MIB),
            ratio: String::new(),
            goal: format!("<= {IDLE_GOAL_MIB} MiB"),
            met: Some(idle_bytes <= IDLE_GOAL_MIB * MIB),
        },
        Row {
            what: format!("memory of one of {} simulated Cloud PCs", plan.machines),
            value: format!("{machine_bytes:.0} B"),
            ratio: String::new(),
            goal: format!("<= {MACHINE_GOAL_BYTES} B"),
            met: Some(machine_bytes <= MACHINE_GOAL_BYTES),
        },
    ])
}

fn ready(what: String, seconds: f64) -> Row {
    Row {
        what,
        value: format!("{:.0} ms", seconds * 1e3),
        ratio: String::new(),
        goal: format!("<= {:.0} ms", READY_GOAL_S * 1e3),
        met: Some(seconds <= READY_GOAL_S),
    }
}

/// Seconds until it is ready, and bytes that it holds then.
async fn starts(data: &Path, rounds: usize) -> Result<(f64, f64), Failure> {
    let (mut seconds, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let server = Server::start(data, None, Serving::Alone).await?;
        seconds.push(server.ready_after.as_secs_f64());
        bytes.push(crate::load::as_f64(server.memory()?));
        server.stop()?;
    }
    Ok((median(seconds), median(bytes)))
}
