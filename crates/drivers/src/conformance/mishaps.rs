//! What befalls a machine is noticed, told to whoever watches, remembered, and forgotten when it is
//! put right.

use cloudpc_model::Power;
use futures_util::StreamExt;
use std::time::Duration;

use super::{Bench, Checked, Report, Subject, Wrong, must_be};
use crate::{Mishap, StopMode, Trouble};

/// How long it may take until it is noticed.
const NOTICED_TIME_MAX: Duration = Duration::from_secs(30);

pub async fn check(subject: &mut dyn Subject, report: &mut Report) {
    for (mishap, trouble) in
        [(Mishap::Crash, Trouble::Crashed), (Mishap::Panic, Trouble::Panicked), (Mishap::ShutDown, Trouble::ShutDown)]
    {
        let mut bench = report.bench(subject);
        let result = befallen(subject, &mut bench, mishap, trouble).await;
        report.add(format!("{mishap:?}"), result);
    }
    let asked = asked_for(&report.bench(subject)).await;
    report.add("what was asked for is no trouble".into(), asked);
}

async fn befallen(subject: &mut dyn Subject, b: &mut Bench, mishap: Mishap, trouble: Trouble) -> Checked {
    let trouble = Some(trouble);
    b.ready().await?;
    let mut watching = b.driver.watch();
    subject.befall(b.spec.id, mishap).await;
    let noticed = async {
        while let Some(id) = watching.next().await {
            if id == b.spec.id && b.driver.observe(id).await?.power == Power::PoweredOff {
                return Ok(());
            }
        }
        Err(Wrong("who watches is told no more".into()))
    };
    tokio::time::timeout(NOTICED_TIME_MAX, noticed).await.unwrap_or_else(|_| Err(Wrong("it is not noticed".into())))?;
    must_be("trouble", b.driver.observe(b.spec.id).await?.trouble, trouble)?;
    drop(watching);
    subject.restart().await;
    b.driver = subject.driver();
    must_be("trouble that another process finds", b.driver.observe(b.spec.id).await?.trouble, trouble)?;
    let mut watching = b.driver.watch();
    let told = async { while watching.next().await.is_some_and(|id| id != b.spec.id) {} };
    let told = tokio::time::timeout(NOTICED_TIME_MAX, told).await;
    must_be("another process tells of it", told.is_ok(), true)?;
    b.boot().await?;
    b.must_be(Power::Running, 2, None).await?;
    must_be("trouble", b.driver.observe(b.spec.id).await?.trouble, None)?;
    subject.befall(b.spec.id, mishap).await;
    // Whoever wants it off takes no offence.
    b.driver.ensure_stopped(b.spec.id, StopMode::Graceful).await?;
    must_be("trouble", b.driver.observe(b.spec.id).await?.trouble, None)?;
    Ok(b.driver.ensure_absent(b.spec.id).await?)
}

async fn asked_for(b: &Bench) -> Checked {
    b.ready().await?;
    for how in [StopMode::Graceful, StopMode::Force] {
        b.driver.ensure_stopped(b.spec.id, how).await?;
        must_be("trouble", b.driver.observe(b.spec.id).await?.trouble, None)?;
        b.boot().await?;
    }
    b.driver.ensure_restarted(b.spec.id, &b.tag).await?;
    must_be("trouble", b.driver.observe(b.spec.id).await?.trouble, None)?;
    Ok(b.driver.ensure_absent(b.spec.id).await?)
}
