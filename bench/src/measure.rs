//! What is measured, in order.

mod reads;
mod start;

use indicatif::{ProgressBar, ProgressStyle};
use std::fs;

use crate::data;
use crate::report::{Row, table};
use crate::server::{Server, Serving, keep_to_core};
use crate::{Failure, Plan};

/// Measures everything and prints the table.
pub fn run(plan: &Plan) -> Result<(), Failure> {
    keep_to_core(1);
    let rows = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(Box::pin(measure(plan)))?;
    println!("{}", table(rows));
    Ok(())
}

async fn measure(plan: &Plan) -> Result<Vec<Row>, Failure> {
    fs::create_dir_all(&plan.directory)?;
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {msg}")?;
    let progress = ProgressBar::new(1).with_style(style);
    progress.enable_steady_tick(std::time::Duration::from_millis(200));
    let mut rows = Vec::new();
    for count in &plan.rows {
        let data = data::prepare(&plan.directory, plan.machines, *count, &progress).await?;
        rows.extend(start::measure(&data, plan, *count, &progress).await?);
        let server = Server::start(&data, None, Serving::WithAnchors).await?;
        rows.extend(reads::measure(&server, plan, *count, &progress).await?);
        server.stop()?;
    }
    progress.finish_and_clear();
    Ok(rows)
}
