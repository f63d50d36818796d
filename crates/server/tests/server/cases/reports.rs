//! Cases of the reports.

use serde_json::json;

use super::{Case, case};

pub fn cases() -> Vec<Case> {
    let reports = [
        ("report.retrieveCloudPcClientAppUsageReport", "POST /report/retrieveCloudPcClientAppUsageReport"),
        ("report.retrieveCloudPcRecommendationReports", "POST /report/retrieveCloudPcRecommendationReports"),
        ("reports.getActionStatusReports", "POST /reports/getActionStatusReports"),
        ("reports.getCloudPcPerformanceReport", "POST /reports/getCloudPcPerformanceReport"),
        ("reports.getCloudPcRecommendationReports", "POST /reports/getCloudPcRecommendationReports"),
        ("reports.getConnectionQualityReports", "POST /reports/getConnectionQualityReports"),
        (
            "reports.getDailyAggregatedRemoteConnectionReports",
            "POST /reports/getDailyAggregatedRemoteConnectionReports",
        ),
        ("reports.getFrontlineReport", "POST /reports/getFrontlineReport"),
        ("reports.getInaccessibleCloudPcReports", "POST /reports/getInaccessibleCloudPcReports"),
        ("reports.getRawRemoteConnectionReports", "POST /reports/getRawRemoteConnectionReports"),
        ("reports.getRemoteConnectionHistoricalReports", "POST /reports/getRemoteConnectionHistoricalReports"),
        (
            "reports.getTotalAggregatedRemoteConnectionReports",
            "POST /reports/getTotalAggregatedRemoteConnectionReports",
        ),
        ("reports.retrieveBulkActionStatusReport", "POST /reports/retrieveBulkActionStatusReport"),
        ("reports.retrieveCloudPcRecommendationReports", "POST /reports/retrieveCloudPcRecommendationReports"),
        ("reports.retrieveCloudPcTenantMetricsReport", "POST /reports/retrieveCloudPcTenantMetricsReport"),
        ("reports.retrieveCloudPcTroubleshootReports", "POST /reports/retrieveCloudPcTroubleshootReports"),
        ("reports.retrieveConnectionQualityReports", "POST /reports/retrieveConnectionQualityReports"),
        (
            "reports.retrieveCrossRegionDisasterRecoveryReport",
            "POST /reports/retrieveCrossRegionDisasterRecoveryReport",
        ),
        ("reports.retrieveFrontlineReports", "POST /reports/retrieveFrontlineReports"),
    ];
    reports
        .into_iter()
        .map(|(key, request)| case(key, request).with_optional("top", json!("many")))
        .chain([
            case(
                "reports.retrieveCloudPcPerformanceMetricsReport",
                "POST /reports/retrieveCloudPcPerformanceMetricsReport",
            )
            .with_optional("timeRange", json!("lastCentury")),
            case(
                "reports.getRealTimeRemoteConnectionStatus",
                "GET /reports/getRealTimeRemoteConnectionStatus(cloudPcId='{cloudPC}')",
            ),
            case(
                "reports.getRealTimeRemoteConnectionLatency",
                "GET /reports/getRealTimeRemoteConnectionLatency(cloudPcId='{cloudPC}')",
            ),
        ])
        .collect()
}
