//! The screen: a machine shows it and gives pictures of it, or rejects both.

use std::time::Duration;
use tokio::io::AsyncReadExt;

use super::{CheckFailure, CheckResult, Fixture, Report, Subject, must_be};
use crate::{DriverError, NO_DISPLAY};

/// How long a screen may take to greet.
const GREETING_TIME_MAX: Duration = Duration::from_secs(10);

pub async fn check(subject: &mut dyn Subject, report: &mut Report) {
    let shown = shown(&report.bench(subject)).await;
    report.add("the screen of a running machine".into(), shown);
}

async fn shown(b: &Fixture) -> CheckResult {
    b.ready().await?;
    let picture = b.driver.screenshot(b.spec.id).await;
    match b.driver.display(b.spec.id).await {
        Ok(mut display) => {
            let mut greeting = [0; 4];
            let read = tokio::time::timeout(GREETING_TIME_MAX, display.read_exact(&mut greeting)).await;
            must_be("it greets", matches!(read, Ok(Ok(_))), true)?;
            must_be("it speaks RFB", greeting, *b"RFB ")?;
            must_be("its picture is a PNG", picture?.starts_with(b"\x89PNG\r\n\x1a\n"), true)?;
        }
        Err(error) if has_no_display(&error) => {
            must_be("there is no picture either", picture.is_err_and(|error| has_no_display(&error)), true)?;
        }
        Err(error) => return Err(CheckFailure(format!("{error:?} is not the refusal that is promised"))),
    }
    Ok(b.driver.ensure_absent(b.spec.id).await?)
}

fn has_no_display(error: &DriverError) -> bool {
    matches!(error, DriverError::Rejected { code, .. } if code == NO_DISPLAY)
}
