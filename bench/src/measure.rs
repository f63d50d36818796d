//! List of all measurements, in order.

mod accepts;
mod reads;
mod start;
mod token;

use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::time::Duration;

use crate::report::{Row, table};
use crate::server::{Server, Serving, pin_to_core};
use crate::{BenchError, Plan, data, fleet};

/// Runs all measurements and prints the table.
pub fn run(plan: &Plan) -> Result<(), BenchError> {
    pin_to_core(1);
    let rows = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(Box::pin(measure(plan)))?;
    println!("{}", table(rows));
    Ok(())
}

async fn measure(plan: &Plan) -> Result<Vec<Row>, BenchError> {
    fs::create_dir_all(&plan.directory)?;
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {msg}")?;
    let progress = ProgressBar::new(1).with_style(style);
    progress.enable_steady_tick(Duration::from_millis(200));

    let mut lines = token::measure(plan, &progress).await?;
    let mut stored_before = None;
    for rows in plan.rows.iter().copied() {
        let data = data::prepare(&plan.directory, plan.machines, rows, &progress).await?;
        lines.extend(start::measure(&data, plan, rows, &progress).await?);
        let server = Server::start(&data, None, Serving::WithAnchors).await?;
        let (pages, stored) = reads::stored(&server, plan, rows, &progress).await?;
        lines.extend(pages);
        lines.extend(stored_before.map(|before| reads::growth(before, (rows, stored))));
        stored_before = Some((rows, stored));
        server.stop()?;
    }
    let data = data::copy_without_results(&plan.directory, plan.machines, &progress).await?;
    let server = Server::start(&data, None, Serving::WithAnchors).await?;
    fleet::pause(&server, &server.token().await?).await?;
    lines.extend(reads::live(&server, plan, &progress).await?);
    lines.extend(accepts::measure(&server, plan, &progress).await?);
    server.stop()?;
    progress.finish_and_clear();
    Ok(lines)
}
