//! The clock of a simulated fleet.
//!
//! A call that advances the clock ends after at most [`REAL_TIME_MAX`], so that no request hangs;
//! the reply says how far the clock advanced, and the call can be repeated. While the clock
//! advances, what the engine does by itself is not synced to disk at each stop, but before the
//! reply.
//!
//! Each call writes its audit row before it acts: if the disk is full, the write fails and nothing
//! changes. The row of an advance therefore holds the start time and the requested duration.

use bytes::Bytes;
use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, Clock as _, Error, ResourceType, Timestamp};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use super::{AdminCall, read};
use crate::app::Simulation;
use crate::pipeline::Problem;

/// The longest simulated time that one call advances the clock.
const MOVE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Time limit of one call, in real time.
const REAL_TIME_MAX: Duration = Duration::from_secs(60);
/// Interval at which work that does not wait for the clock (a download, a write) is polled, in real
/// time.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The body that advances the clock.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvanceRequest {
    by: String,
}

pub async fn show(call: AdminCall, _body: Bytes) -> Result<Value, Problem> {
    Ok(describe(&call, &call.simulation()?).await?)
}

pub async fn pause(call: AdminCall, _body: Bytes) -> Result<Value, Problem> {
    let simulation = call.simulation()?;
    call.write_audit(call.audit(AuditVerb::Pause, ResourceType::Clock, "")).await?;
    simulation.clock.pause();
    Ok(describe(&call, &simulation).await?)
}

pub async fn resume(call: AdminCall, _body: Bytes) -> Result<Value, Problem> {
    let simulation = call.simulation()?;
    call.write_audit(call.audit(AuditVerb::Resume, ResourceType::Clock, "")).await?;
    simulation.clock.resume();
    Ok(describe(&call, &simulation).await?)
}

pub async fn advance(call: AdminCall, body: Bytes) -> Result<Value, Problem> {
    let simulation = call.simulation()?;
    let AdvanceRequest { by: text } = read(&body)?;
    let by = duration("by", &text)?;
    let from = simulation.clock.now();
    let entry = call.audit(AuditVerb::Advance, ResourceType::Clock, "");
    call.write_audit(entry.detail("from", &from.to_string()).detail("by", &text)).await?;
    let deferred = call.app.store.defer_sync();
    // An advance that times out is dropped and leaves the clock at the last timer it reached.
    let _ = tokio::time::timeout(REAL_TIME_MAX, simulation.clock.advance(by)).await;
    deferred.end().await.map_err(Error::from)?;
    advanced(&call, &simulation, from).await
}

/// Advances the clock from one timer to the next until the engine has nothing left to do or a limit
/// is reached. An action that waits for an operator stays open.
pub async fn advance_to_idle(call: AdminCall, _body: Bytes) -> Result<Value, Problem> {
    let simulation = call.simulation()?;
    let from = simulation.clock.now();
    let entry = call.audit(AuditVerb::AdvanceToIdle, ResourceType::Clock, "");
    call.write_audit(entry.detail("from", &from.to_string())).await?;
    let deferred = call.app.store.defer_sync();
    // Dropped after the time limit, it leaves the clock at its latest stop.
    let idle = advance_while_busy(&call, &simulation, from);
    let idle = tokio::time::timeout(REAL_TIME_MAX, idle).await.unwrap_or(Ok(()));
    deferred.end().await.map_err(Error::from)?;
    idle?;
    advanced(&call, &simulation, from).await
}

async fn advance_while_busy(call: &AdminCall, simulation: &Simulation, from: Timestamp) -> Result<(), Error> {
    let held = simulation.clock.hold().await;
    while let Some(acts_by) = call.app.engine.acts_by().await? {
        match simulation.clock.next_wake() {
            Some(wake) if wake.since(from) > MOVE_MAX => break,
            Some(wake) if wake <= acts_by => held.advance_to(wake).await,
            // Nothing of the engine waits for the clock, so it is at work.
            _ => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
    Ok(())
}

async fn advanced(call: &AdminCall, simulation: &Simulation, from: Timestamp) -> Result<Value, Problem> {
    let mut answer = describe(call, simulation).await?;
    let by = simulation.clock.now().since(from);
    answer["movedBy"] = SignedDuration::try_from(by).map_err(Error::internal)?.to_string().into();
    Ok(answer)
}

async fn describe(call: &AdminCall, simulation: &Simulation) -> Result<Value, Error> {
    Ok(json!({
        "now": simulation.clock.now().to_string(),
        "paused": simulation.clock.is_paused(),
        "nextWake": simulation.clock.next_wake().map(|wake| wake.to_string()),
        "openActions": open_actions(call).await?,
    }))
}

async fn open_actions(call: &AdminCall) -> Result<u64, Error> {
    call.app.store.read(|reader| Ok(reader.action_open_count()?)).await
}

/// Parses a duration such as `90s`, `1h30m`, `7d` or `PT1H30M`, which the request has as `name`.
pub(super) fn duration(name: &str, text: &str) -> Result<Duration, GraphError> {
    let span: Result<Span, _> = text.parse();
    let span = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let invalid = |reason: &str| GraphError::bad_request(format!("Invalid duration '{text}'. {reason}")).about(name);
    let by = span.map_err(|_| invalid("Expected a duration such as 90s, 1h30m, 7d or PT1H30M."))?;
    let by = Duration::try_from(by).map_err(|_| invalid("It cannot be negative."))?;
    if by > MOVE_MAX {
        return Err(invalid(&format!("The maximum is {} days at a time.", MOVE_MAX.as_secs() / 86_400)));
    }
    Ok(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_both_notations_and_within_the_limit() {
        let seconds = |text| duration("by", text).map(|by| by.as_secs()).map_err(|error| error.message);
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("1h30m"), Ok(5_400));
        assert_eq!(seconds("PT1H30M"), Ok(5_400));
        assert_eq!(seconds("7d"), Ok(7 * 86_400));
        assert_eq!(seconds("366d"), Ok(366 * 86_400));
        let messages = ["366d 1s", "-1s", "soon", "", "1 month"].map(|text| seconds(text).unwrap_err()).join("\n");
        insta::assert_snapshot!(messages, @"
        Invalid duration '366d 1s'. The maximum is 366 days at a time.
        Invalid duration '-1s'. It cannot be negative.
        Invalid duration 'soon'. Expected a duration such as 90s, 1h30m, 7d or PT1H30M.
        Invalid duration ''. Expected a duration such as 90s, 1h30m, 7d or PT1H30M.
        Invalid duration '1 month'. Expected a duration such as 90s, 1h30m, 7d or PT1H30M.
        ");
    }
}
