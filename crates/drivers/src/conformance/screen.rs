//! Checks of the screen: a machine offers both a display and screenshots, or rejects both.

use std::time::Duration;
use tokio::io::AsyncReadExt;

use super::{CheckFailure, CheckResult, ConformanceReport, DriverUnderTest, Fixture, must_be};
use crate::{DriverError, NO_DISPLAY};

/// Timeout of the RFB greeting.
const GREETING_TIME_MAX: Duration = Duration::from_secs(10);

pub async fn check(subject: &mut dyn DriverUnderTest, report: &mut ConformanceReport) {
    let shown = shown(&report.fixture(subject)).await;
    report.add("the screen of a running machine".into(), shown);
}

async fn shown(b: &Fixture) -> CheckResult {
    b.ready().await?;
    let screenshot = b.driver.screenshot(b.spec.id).await;
    match b.driver.display(b.spec.id).await {
        Ok(mut display) => {
            let mut greeting = [0; 4];
            let read = tokio::time::timeout(GREETING_TIME_MAX, display.read_exact(&mut greeting)).await;
            must_be("the display sends a greeting", matches!(read, Ok(Ok(_))), true)?;
            must_be("the protocol", greeting, *b"RFB ")?;
            must_be("the screenshot is a PNG", screenshot?.starts_with(b"\x89PNG\r\n\x1a\n"), true)?;
        }
        Err(error) if has_no_display(&error) => {
            must_be("the screenshot is rejected too", screenshot.is_err_and(|error| has_no_display(&error)), true)?;
        }
        Err(error) => return Err(CheckFailure(format!("{error:?}, expected a rejection with {NO_DISPLAY}"))),
    }
    Ok(b.driver.ensure_absent(b.spec.id).await?)
}

fn has_no_display(error: &DriverError) -> bool {
    matches!(error, DriverError::Rejected { code, .. } if code == NO_DISPLAY)
}
