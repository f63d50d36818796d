//! Checks of the network's health checks: each has a finding that explains itself, and changes no
//! machine.

use super::{CheckResult, ConformanceReport, DriverUnderTest, Fixture, must_be};
use crate::{NetworkCheck, NetworkStatus};

pub async fn check(subject: &mut dyn DriverUnderTest, report: &mut ConformanceReport) {
    // The name does not exist anywhere (RFC 6761), so that no name service matters.
    let domain = || "conformance.invalid".to_owned();
    for check in [
        NetworkCheck::Network,
        NetworkCheck::Addresses,
        NetworkCheck::NameService(domain()),
        NetworkCheck::Endpoints(Vec::new()),
        NetworkCheck::DomainJoin(domain()),
    ] {
        let found = found(&report.fixture(subject), &check).await;
        report.add(format!("network check {check:?}"), found);
    }
}

async fn found(b: &Fixture, check: &NetworkCheck) -> CheckResult {
    let before = b.driver.list().await?;
    let first = b.driver.check_network(check).await?;
    let (second, third) = tokio::join!(b.driver.check_network(check), b.driver.check_network(check));
    for again in [second?, third?] {
        must_be("the result of a repeated check", again.status, first.status)?;
    }
    must_be("a failure has a problem", first.problem.is_some(), first.status == NetworkStatus::Failed)?;
    must_be("a failure has advice", first.advice.is_empty(), first.status != NetworkStatus::Failed)?;
    must_be("a finding without detail", first.detail.is_empty(), false)?;
    if matches!(check, NetworkCheck::NameService(_) | NetworkCheck::DomainJoin(_)) {
        must_be("a missing domain passes", first.status == NetworkStatus::Passed, false)?;
    }
    must_be("the machines", b.driver.list().await?, before)
}
