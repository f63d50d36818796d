//! Reports: which operation answers with which.

pub mod real_time_latency;
pub mod real_time_status;

use cloudpc_graph::GraphError;
use cloudpc_model::CloudPcId;
use std::sync::Arc;

use super::cloud_pc::find_reached;
use crate::pipeline::{Answer, Call, Problem};
use crate::rbac::{self, Requirement};
use crate::reports::{self, ReportTable};

/// An operation that answers with a report.
struct ReportOperation {
    /// The name of the action.
    name: &'static str,
    /// The property of the body that chooses the report; empty if there is one alone.
    choice: &'static str,
    /// Values of that property with their reports; the first is the default.
    reports: &'static [(&'static str, &'static str)],
}

const USAGE: &[(&str, &str)] = &[
    ("cloudPcUsageCategoryReport", "cloudPcUsageCategoryReport"),
    ("cloudPcUsageCategoryReports", "cloudPcUsageCategoryReport"),
];

const PERFORMANCE: &[(&str, &str)] =
    &[("performanceTrendReport", "performanceTrendReport"), ("cloudPcInsightReport", "cloudPcInsightReport")];

const FRONTLINE: &[(&str, &str)] = &[
    ("licenseUsageReport", "frontlineLicenseUsageReport"),
    ("noLicenseAvailableConnectivityFailureReport", "noLicenseAvailableConnectivityFailureReport"),
    ("licenseUsageRealTimeReport", "frontlineLicenseUsageRealTimeReport"),
    ("licenseHourlyUsageReport", "frontlineLicenseHourlyUsageReport"),
    ("connectedUserRealtimeReport", "frontlineRealtimeUserConnectionsReport"),
    // The names of the older action.
    ("frontlineLicenseUsageReport", "frontlineLicenseUsageReport"),
    ("frontlineLicenseUsageRealTimeReport", "frontlineLicenseUsageRealTimeReport"),
    ("frontlineLicenseHourlyUsageReport", "frontlineLicenseHourlyUsageReport"),
    ("frontlineRealtimeUserConnectionsReport", "frontlineRealtimeUserConnectionsReport"),
];

const OPERATIONS: &[ReportOperation] = &[
    only("getActionStatusReports", &[("", "actionStatusReport")]),
    only("retrieveBulkActionStatusReport", &[("", "bulkActionStatusReport")]),
    only("getTotalAggregatedRemoteConnectionReports", &[("", "totalAggregatedRemoteConnectionReports")]),
    only("getDailyAggregatedRemoteConnectionReports", &[("", "dailyAggregatedRemoteConnectionReports")]),
    only("getRemoteConnectionHistoricalReports", &[("", "remoteConnectionHistoricalReports")]),
    only("getRawRemoteConnectionReports", &[("", "rawRemoteConnectionReports")]),
    only("getConnectionQualityReports", &[("", "remoteConnectionQualityReport")]),
    only("retrieveCloudPcPerformanceMetricsReport", &[("", "cloudPcPerformanceMetricsReport")]),
    chosen(
        "getInaccessibleCloudPcReports",
        "reportName",
        &[
            ("inaccessibleCloudPcReports", "inaccessibleCloudPcReports"),
            ("inaccessibleCloudPcTrendReport", "inaccessibleCloudPcTrendReport"),
            ("regionalInaccessibleCloudPcTrendReport", "regionalInaccessibleCloudPcTrendReport"),
        ],
    ),
    chosen(
        "retrieveCloudPcTroubleshootReports",
        "reportName",
        &[
            ("troubleshootDetailsReport", "troubleshootDetailsReport"),
            ("troubleshootTrendCountReport", "troubleshootTrendCountReport"),
            ("troubleshootRegionalReport", "troubleshootRegionalReport"),
            ("troubleshootIssueCountReport", "troubleshootIssueCountReport"),
        ],
    ),
    chosen(
        "retrieveConnectionQualityReports",
        "reportName",
        &[
            ("remoteConnectionQualityReport", "remoteConnectionQualityReport"),
            ("regionalConnectionQualityTrendReport", "regionalConnectionQualityTrendReport"),
            ("regionalConnectionQualityInsightsReport", "regionalConnectionQualityInsightsReport"),
        ],
    ),
    chosen(
        "retrieveCloudPcClientAppUsageReport",
        "reportType",
        &[("microsoftRemoteDesktopClientUsageReport", "microsoftRemoteDesktopClientUsageReport")],
    ),
    chosen(
        "retrieveCrossRegionDisasterRecoveryReport",
        "reportName",
        &[
            ("crossRegionDisasterRecoveryReport", "crossRegionDisasterRecoveryReport"),
            ("disasterRecoveryReport", "crossRegionDisasterRecoveryReport"),
        ],
    ),
    chosen("retrieveCloudPcTenantMetricsReport", "reportName", PERFORMANCE),
    chosen("getCloudPcPerformanceReport", "reportName", PERFORMANCE),
    chosen("retrieveFrontlineReports", "reportName", FRONTLINE),
    chosen("getFrontlineReport", "reportName", FRONTLINE),
    chosen("getCloudPcRecommendationReports", "reportName", USAGE),
    // Two actions of this name: the older takes `reportName`.
    chosen("retrieveCloudPcRecommendationReports", "reportName", USAGE),
];

const fn only(name: &'static str, reports: &'static [(&'static str, &'static str)]) -> ReportOperation {
    ReportOperation { name, choice: "", reports }
}

const fn chosen(
    name: &'static str,
    choice: &'static str,
    reports: &'static [(&'static str, &'static str)],
) -> ReportOperation {
    ReportOperation { name, choice, reports }
}

/// `POST …/reports/{action}`
pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let table = requested(&call)?;
    reports::answer(&call, table).await
}

/// Returns what role-based access control requires to read a report.
pub(crate) fn requirement_of(report: &str) -> Option<&'static Requirement> {
    let operation = OPERATIONS.iter().find(|operation| operation.reports.iter().any(|(_, name)| *name == report))?;
    let keys = ["reports", "report"].map(|root| format!("{root}.{}", operation.name));
    keys.iter().find_map(|key| rbac::requirement(key))
}

/// Returns the report that a request asks for.
fn requested(call: &Call) -> Result<&'static ReportTable, GraphError> {
    let key = call.target.operation.key.as_str();
    let name = key.rsplit('.').next().unwrap_or(key);
    let operation = OPERATIONS.iter().find(|operation| operation.name == name).expect("the table has its operations");
    let choice = if call.body.contains_key("reportType") { "reportType" } else { operation.choice };
    let report = match call.text(choice) {
        None => operation.reports[0].1,
        Some(named) => {
            let found = operation.reports.iter().find(|(value, _)| *value == named);
            found.map(|(_, report)| *report).ok_or_else(|| unknown(operation, choice, named))?
        }
    };
    Ok(reports::table(report).expect("the report of an operation exists"))
}

/// Returns the Cloud PC that a function names.
async fn cloud_pc(call: &Arc<Call>) -> Result<CloudPcId, Problem> {
    let named = call.target.arguments.get("cloudPcId").map_or("", String::as_str);
    let missing = || Problem::not_found("Cloud PC", named);
    let (request, id) = (call.clone(), named.parse::<CloudPcId>().map_err(|_| missing())?);
    let found = call.store().read(move |reader| find_reached(&request, reader, id)).await?;
    found.map(|cloud_pc| cloud_pc.id).ok_or_else(missing)
}

fn unknown(operation: &ReportOperation, choice: &str, named: &str) -> GraphError {
    let names = operation.reports.iter().map(|(value, _)| *value).collect::<Vec<_>>().join(", ");
    let message = format!("'{choice}' is '{named}', which is no report of '{}'; it has {names}.", operation.name);
    GraphError::bad_request(message).about(choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_reports() {
        for operation in OPERATIONS {
            for (_, report) in operation.reports {
                assert!(reports::table(report).is_some(), "{}: {report}", operation.name);
            }
        }
    }
}
