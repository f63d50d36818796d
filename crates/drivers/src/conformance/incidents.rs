//! Checks of incidents: a condition is detected, announced to watchers, survives a restart of the
//! driver, and is cleared when the machine is started or stopped.

use cloudpc_model::Power;
use futures_util::StreamExt;
use std::time::Duration;

use super::{CheckFailure, CheckResult, ConformanceReport, DriverUnderTest, Fixture, must_be};
use crate::{Incident, MachineCondition, StopMode};

/// Longest time until an incident is detected.
const DETECTION_TIME_MAX: Duration = Duration::from_secs(30);

pub async fn check(subject: &mut dyn DriverUnderTest, report: &mut ConformanceReport) {
    for (incident, condition) in [
        (Incident::Crash, MachineCondition::Crashed),
        (Incident::Panic, MachineCondition::Panicked),
        (Incident::ShutDown, MachineCondition::ShutDown),
    ] {
        let mut fixture = report.fixture(subject);
        let result = check_incident(subject, &mut fixture, incident, condition).await;
        report.add(format!("{incident:?}"), result);
    }
    let result = requested_changes(&report.fixture(subject)).await;
    report.add("a requested stop or restart is not an incident".into(), result);
}

async fn check_incident(
    subject: &mut dyn DriverUnderTest,
    b: &mut Fixture,
    incident: Incident,
    condition: MachineCondition,
) -> CheckResult {
    let condition = Some(condition);
    b.ready().await?;
    let mut watching = b.driver.watch();
    subject.inject(b.spec.id, incident).await;
    let detected = async {
        while let Some(id) = watching.next().await {
            if id == b.spec.id && b.driver.observe(id).await?.power == Power::PoweredOff {
                return Ok(());
            }
        }
        Err(CheckFailure("the watch stream ended".into()))
    };
    tokio::time::timeout(DETECTION_TIME_MAX, detected)
        .await
        .unwrap_or_else(|_| Err(CheckFailure("the incident was not detected".into())))?;
    must_be("condition", b.driver.observe(b.spec.id).await?.condition, condition)?;
    drop(watching);
    subject.restart().await;
    b.driver = subject.driver();
    must_be("condition after a driver restart", b.driver.observe(b.spec.id).await?.condition, condition)?;
    let mut watching = b.driver.watch();
    let announced = async { while watching.next().await.is_some_and(|id| id != b.spec.id) {} };
    let announced = tokio::time::timeout(DETECTION_TIME_MAX, announced).await;
    must_be("the condition is announced after a driver restart", announced.is_ok(), true)?;
    b.boot().await?;
    b.must_be(Power::Running, 2, None).await?;
    must_be("condition", b.driver.observe(b.spec.id).await?.condition, None)?;
    subject.inject(b.spec.id, incident).await;
    // A stop of a failed machine succeeds and clears the condition.
    b.driver.ensure_stopped(b.spec.id, StopMode::Graceful).await?;
    must_be("condition", b.driver.observe(b.spec.id).await?.condition, None)?;
    Ok(b.driver.ensure_absent(b.spec.id).await?)
}

async fn requested_changes(b: &Fixture) -> CheckResult {
    b.ready().await?;
    for how in [StopMode::Graceful, StopMode::Force] {
        b.driver.ensure_stopped(b.spec.id, how).await?;
        must_be("condition", b.driver.observe(b.spec.id).await?.condition, None)?;
        b.boot().await?;
    }
    b.driver.ensure_restarted(b.spec.id, &b.tag).await?;
    must_be("condition", b.driver.observe(b.spec.id).await?.condition, None)?;
    Ok(b.driver.ensure_absent(b.spec.id).await?)
}
