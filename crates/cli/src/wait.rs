//! Waiting for actions to end, with a progress bar on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::time::Duration;

use crate::commands::Session;
use crate::commands::cloud_pc::{CLOUD_PCS, Found};
use crate::failure::CommandError;
use crate::output::text;

/// Poll interval.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Waits for an action and returns its final state. `stuck` counts as final: only a person can
/// settle it.
pub async fn action(session: &Session, cloud_pc: &Found, id: &str) -> Result<Value, CommandError> {
    let bar = spinner("");
    let path = format!("{CLOUD_PCS}/{}/cloudpc.actions/{id}", cloud_pc.id);
    loop {
        let action = session.connection.get(&path).await?;
        if matches!(text(&action, "state").as_str(), "done" | "failed" | "canceled" | "notSupported" | "stuck") {
            bar.finish_and_clear();
            return Ok(action);
        }
        bar.set_message(describe(&cloud_pc.name, &action));
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Waits for the deployments of an activity and returns their results once all have ended.
pub async fn activity(session: &Session, partner: &str, activity: &str) -> Result<Vec<Value>, CommandError> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(style("{bar:30} {pos} of {len} Cloud PCs {msg} ({elapsed})"));
    bar.enable_steady_tick(Duration::from_millis(100));
    let path = format!("{partner}/retrieveDeployAgentActionResults(activityId='{activity}',cloudPcId='')");
    loop {
        let results = session.connection.rows(&path, &[], None).await?;
        let count =
            |states: &[&str]| results.iter().filter(|result| states.contains(&text(result, "state").as_str())).count();
        let ended = count(&["succeeded", "failed", "canceled"]);
        bar.set_length(results.len() as u64);
        bar.set_position(ended as u64);
        bar.set_message(format!(
            "done, {} running, {} failed or canceled",
            count(&["running"]),
            count(&["failed", "canceled"])
        ));
        if ended == results.len() {
            bar.finish_and_clear();
            return Ok(results);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A spinner for work of unknown length.
pub fn spinner(message: &str) -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    spinner.set_style(style("{spinner} {msg} ({elapsed})"));
    spinner.set_message(message.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// A progress bar in percent.
pub fn percent_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
    bar.set_style(style("{bar:30} {percent} % {msg} ({elapsed})"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn describe(name: &str, action: &Value) -> String {
    let what = format!("{name}: {} {}", text(action, "kind"), text(action, "state"));
    match (text(action, "waitsFor"), text(action, "step")) {
        (waits, _) if !waits.is_empty() => format!("{what}, waiting for {waits}"),
        (_, step) if !step.is_empty() => format!("{what}, step {step}"),
        _ => what,
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates here are well formed")
}
