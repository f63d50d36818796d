//! What befalls a machine is noticed, told to whoever watches, remembered, and forgotten when it is
//! put right.

use cloudpc_model::Power;
use futures_util::StreamExt;
use std::time::Duration;

use super::{CheckFailure, CheckResult, Fixture, Report, Subject, must_be};
use crate::{Incident, MachineCondition, StopMode};

/// How long it may take until it is noticed.
const NOTICED_TIME_MAX: Duration = Duration::from_secs(30);

pub async fn check(subject: &mut dyn Subject, report: &mut Report) {
    for (incident, condition) in [
        (Incident::Crash, MachineCondition::Crashed),
        (Incident::Panic, MachineCondition::Panicked),
        (Incident::ShutDown, MachineCondition::ShutDown),
    ] {
        let mut bench = report.bench(subject);
        let result = injected(subject, &mut bench, incident, condition).await;
        report.add(format!("{incident:?}"), result);
    }
    let asked = asked_for(&report.bench(subject)).await;
    report.add("what was asked for is no trouble".into(), asked);
}

async fn injected(
    subject: &mut dyn Subject,
    b: &mut Fixture,
    incident: Incident,
    condition: MachineCondition,
) -> CheckResult {
    let condition = Some(condition);
    b.ready().await?;
    let mut watching = b.driver.watch();
    subject.inject(b.spec.id, incident).await;
    let noticed = async {
        while let Some(id) = watching.next().await {
            if id == b.spec.id && b.driver.observe(id).await?.power == Power::PoweredOff {
                return Ok(());
            }
        }
        Err(CheckFailure("who watches is told no more".into()))
    };
    tokio::time::timeout(NOTICED_TIME_MAX, noticed)
        .await
        .unwrap_or_else(|_| Err(CheckFailure("it is not noticed".into())))?;
    must_be("trouble", b.driver.observe(b.spec.id).await?.condition, condition)?;
    drop(watching);
    subject.restart().await;
    b.driver = subject.driver();
    must_be("trouble that another process finds", b.driver.observe(b.spec.id).await?.condition, condition)?;
    let mut watching = b.driver.watch();
    let told = async { while watching.next().await.is_some_and(|id| id != b.spec.id) {} };
    let told = tokio::time::timeout(NOTICED_TIME_MAX, told).await;
    must_be("another process tells of it", told.is_ok(), true)?;
    b.boot().await?;
    b.must_be(Power::Running, 2, None).await?;
    must_be("trouble", b.driver.observe(b.spec.id).await?.condition, None)?;
    subject.inject(b.spec.id, incident).await;
    // Whoever wants it off takes no offence.
    b.driver.ensure_stopped(b.spec.id, StopMode::Graceful).await?;
    must_be("trouble", b.driver.observe(b.spec.id).await?.condition, None)?;
    Ok(b.driver.ensure_absent(b.spec.id).await?)
}

async fn asked_for(b: &Fixture) -> CheckResult {
    b.ready().await?;
    for how in [StopMode::Graceful, StopMode::Force] {
        b.driver.ensure_stopped(b.spec.id, how).await?;
        must_be("trouble", b.driver.observe(b.spec.id).await?.condition, None)?;
        b.boot().await?;
    }
    b.driver.ensure_restarted(b.spec.id, &b.tag).await?;
    must_be("trouble", b.driver.observe(b.spec.id).await?.condition, None)?;
    Ok(b.driver.ensure_absent(b.spec.id).await?)
}
