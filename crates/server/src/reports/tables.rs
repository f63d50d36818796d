//! The reports: names, columns and sources.
//!
//! Columns are those that Microsoft documents, in its spelling, and where its pages give none,
//! columns of ours that are marked as inferred.

use super::ReportScope;
use super::column::{Column, ColumnType, column, inferred};
use super::scan::ReportSource;
use super::sources::actions::RemoteActions;
use super::sources::bulk_actions::BulkActions;
use super::sources::frontline::FrontlineLicenses;
use super::sources::sessions::RemoteSessions;
use super::sources::{OfCloudPcs, health, sessions, usage};

use ColumnType::{Boolean, DateTime, Double, Int32, Int64, Json, String};

/// A report.
pub struct ReportTable {
    /// Name, a member of `cloudPcReportName` where that has one.
    pub name: &'static str,
    /// Columns in the order of an answer without `select`.
    pub columns: &'static [Column],
    /// Columns that rows are sorted by unless the request says otherwise, and whether the greatest
    /// come first.
    pub(super) order: &'static [(&'static str, bool)],
    /// Returns the rows of a tenant; none if nothing here measures what the report is about.
    pub(super) source: Option<fn(ReportScope) -> Box<dyn ReportSource>>,
    /// Why there is no source.
    pub no_source: Option<&'static str>,
}

impl ReportTable {
    /// Returns whether anything here measures what the report is about.
    pub fn has_source(&self) -> bool {
        self.source.is_some()
    }
}

const CLOUD_PC: [Column; 3] =
    [column("CloudPcId", String), inferred("ManagedDeviceName", String), inferred("UserPrincipalName", String)];

const SESSION: &[Column] = &[
    inferred("ActivityId", String),
    CLOUD_PC[0],
    CLOUD_PC[1],
    CLOUD_PC[2],
    column("SignInDateTime", DateTime),
    column("SignOutDateTime", DateTime),
    column("UsageInHour", Double),
    column("RoundTripTimeInMsP50", Int64),
    column("AvailableBandwidthInMBpsP50", Double),
    column("RemoteSignInTimeInSec", Double),
];

const LATEST_SESSION_FIRST: &[(&str, bool)] = &[("SignInDateTime", true)];

const NO_PERFORMANCE: &str = "This installation does not measure processor, memory and network use of Cloud PCs.";
const NO_SEATS: &str = "This installation does not record how seats of Frontline licences are used.";

/// All reports.
pub static TABLES: &[ReportTable] = &[
    ReportTable {
        name: "actionStatusReport",
        columns: &[
            column("Id", String),
            column("CloudPcId", String),
            column("CloudPcDeviceDisplayName", String),
            column("InitiatedByUserPrincipalName", String),
            column("DeviceOwnerUserPrincipalName", String),
            column("Action", String),
            column("ActionState", String),
            column("RequestDateTime", DateTime),
            column("LastUpdatedDateTime", DateTime),
            column("BulkActionId", String),
            column("BulkActionDisplayName", String),
            column("ActionParameters", Json),
        ],
        order: &[("RequestDateTime", true)],
        source: Some(RemoteActions::boxed),
        no_source: None,
    },
    ReportTable {
        name: "bulkActionStatusReport",
        columns: &[
            column("BulkActionId", String),
            column("BulkActionDisplayName", String),
            column("Action", String),
            column("BulkActionStatus", String),
            column("InitiatedByUserPrincipalName", String),
            column("RequestDateTime", DateTime),
            column("SucceedCount", Int32),
            column("FailedCount", Int32),
            column("InprogressCount", Int32),
            column("TotalCount", Int32),
            column("Completion", Double),
        ],
        order: &[("RequestDateTime", true)],
        source: Some(BulkActions::boxed),
        no_source: None,
    },
    ReportTable {
        name: "totalAggregatedRemoteConnectionReports",
        columns: &[
            column("CloudPcId", String),
            column("ManagedDeviceName", String),
            column("UserPrincipalName", String),
            column("TotalUsageInHour", Double),
            column("LastActiveTime", DateTime),
            column("PcType", String),
            column("CreatedDate", DateTime),
            column("DaysSinceLastSignIn", Int64),
        ],
        order: &[],
        source: Some(|scope| OfCloudPcs::boxed(scope, usage::total)),
        no_source: None,
    },
    ReportTable {
        name: "dailyAggregatedRemoteConnectionReports",
        // A day has no activity of its own.
        columns: SESSION.split_at(1).1,
        order: LATEST_SESSION_FIRST,
        source: Some(|scope| OfCloudPcs::boxed(scope, sessions::by_day)),
        no_source: None,
    },
    ReportTable {
        name: "remoteConnectionHistoricalReports",
        columns: SESSION,
        order: LATEST_SESSION_FIRST,
        source: Some(RemoteSessions::boxed),
        no_source: None,
    },
    ReportTable {
        name: "rawRemoteConnectionReports",
        columns: SESSION,
        order: LATEST_SESSION_FIRST,
        source: Some(RemoteSessions::boxed),
        no_source: None,
    },
    ReportTable {
        name: "realTimeRemoteConnectionStatus",
        columns: &[
            column("CloudPcId", String),
            column("ManagedDeviceName", String),
            inferred("UserPrincipalName", String),
            column("SignInStatus", String),
            column("DaysSinceLastSignIn", Int64),
            inferred("LastActiveTime", DateTime),
        ],
        order: &[],
        source: Some(|scope| OfCloudPcs::boxed(scope, usage::now)),
        no_source: None,
    },
    ReportTable {
        name: "realTimeRemoteConnectionLatency",
        columns: &[CLOUD_PC[0], inferred("RoundTripTimeInMs", Int64)],
        order: &[],
        source: None,
        no_source: Some("This installation does not measure the latency of open sessions."),
    },
    ReportTable {
        name: "inaccessibleCloudPcReports",
        columns: &[
            column("cloudPcId", String),
            column("aadDeviceId", String),
            column("cloudPcName", String),
            column("userPrincipalName", String),
            column("provisioningStatus", String),
            column("region", String),
            column("deviceHealthStatus", String),
            column("deviceHealthStatusDateTime", DateTime),
            column("recentDeviceHealthFailureCount", Int64),
            column("recentConnectionFailureCount", Int64),
            column("systemStatus", String),
            column("systemStatusDateTime", DateTime),
        ],
        order: &[],
        source: Some(|scope| OfCloudPcs::boxed(scope, health::inaccessible)),
        no_source: None,
    },
    without_source(
        "inaccessibleCloudPcTrendReport",
        &[inferred("Date", DateTime), inferred("InaccessibleCloudPcCount", Int64)],
        "This installation keeps no daily counts of inaccessible Cloud PCs.",
    ),
    without_source(
        "regionalInaccessibleCloudPcTrendReport",
        &[inferred("Date", DateTime), inferred("Region", String), inferred("InaccessibleCloudPcCount", Int64)],
        "This installation keeps no daily counts of inaccessible Cloud PCs.",
    ),
    ReportTable {
        name: "troubleshootDetailsReport",
        columns: &[
            column("CloudPcId", String),
            column("ManagedDeviceName", String),
            column("UserPrincipalName", String),
            column("UsageInsight", String),
            column("CurrentSize", String),
            column("CurrentCPU", Int32),
            column("CurrentRamInGB", Int32),
            column("CurrentDiskInGB", Int32),
            column("RecommendedSize", String),
            column("RecommendedCPU", Int32),
            column("RecommendedRamInGB", Int32),
            column("RecommendedDiskInGB", Int32),
            column("ProvisionPolicyName", String),
            column("RoundTripTimeInMsAvg", Double),
            column("AvailableBandwidthInMbpsAvg", Double),
            column("HasPerformanceIssue", Boolean),
            column("HasNetworkIssue", Boolean),
            column("HasReliabilityIssue", Boolean),
            column("ConnectionErrorCount", Int64),
        ],
        order: &[],
        source: Some(|scope| OfCloudPcs::boxed(scope, health::troubleshoot)),
        no_source: None,
    },
    without_source(
        "troubleshootTrendCountReport",
        &[
            column("CpuIssueCloudPcCount", Int64),
            column("CpuIssueTrend", Double),
            column("MemoryIssueCloudPcCount", Int64),
            column("MemoryIssueTrend", Double),
            column("RTTIssueCloudPcCount", Int64),
            column("RTTIssueTrend", Double),
            column("StabilityIssueCloudPcCount", Int64),
            column("StabilityIssueTrend", Double),
            column("ConnectionQualityIssueCloudPcCount", Int64),
            column("ConnectionQualityIssueTrend", Double),
            column("TotalImpactedCloudPcCount", Int64),
            column("PerformanceIssueCount", Int64),
            column("NetworkIssueCount", Int64),
            column("ReliabilityIssueCount", Int64),
        ],
        NO_PERFORMANCE,
    ),
    without_source(
        "troubleshootRegionalReport",
        &[
            column("HostRegion", String),
            column("GatewayRegion", String),
            column("AvgRoundTripTimeInMs", Double),
            column("AvgBandwidthInMbps", Double),
            column("ConnectionErrorCount", Int64),
            column("RTTIssueCount", Int64),
            column("ConnectionQualityIssueCount", Int64),
            column("StabilityIssueCount", Int64),
            column("BandwidthIssueCount", Int64),
            column("ConnnectErrorIssueCount", Int64),
            column("RTTStabilityIssueCount", Int64),
            column("BandwidthStabilityIssueCount", Int64),
        ],
        NO_PERFORMANCE,
    ),
    without_source(
        "troubleshootIssueCountReport",
        &[
            column("AsofDate", DateTime),
            column("PerformanceIssueCount", Int64),
            column("NetworkIssueCount", Int64),
            column("ReliabilityIssueCount", Int64),
            column("CpuIssueCount", Int64),
            column("MemoryIssueCount", Int64),
            column("RTTIssueCount", Int64),
            column("StabilityIssueCount", Int64),
            column("ConnectionQualityIssueCount", Int64),
        ],
        NO_PERFORMANCE,
    ),
    ReportTable {
        name: "remoteConnectionQualityReport",
        columns: SESSION,
        order: LATEST_SESSION_FIRST,
        source: Some(RemoteSessions::boxed),
        no_source: None,
    },
    without_source(
        "regionalConnectionQualityTrendReport",
        &[inferred("Date", DateTime), inferred("Region", String), inferred("AvgRoundTripTimeInMs", Double)],
        "This installation keeps no daily measurements of connections by region.",
    ),
    without_source(
        "regionalConnectionQualityInsightsReport",
        &[inferred("Region", String), inferred("AvgRoundTripTimeInMs", Double)],
        "This installation keeps no measurements of connections by region.",
    ),
    without_source(
        "cloudPcUsageCategoryReport",
        &[
            CLOUD_PC[0],
            CLOUD_PC[1],
            CLOUD_PC[2],
            column("UsageInsight", String),
            column("CurrentSize", Json),
            column("RecommendedSize", Json),
            column("UsageInHour", Double),
            column("DevicePerfSummary", Json),
        ],
        NO_PERFORMANCE,
    ),
    without_source("performanceTrendReport", &[CLOUD_PC[0], inferred("Date", DateTime)], NO_PERFORMANCE),
    without_source("cloudPcInsightReport", &[CLOUD_PC[0], inferred("UsageInsight", String)], NO_PERFORMANCE),
    without_source("cloudPcPerformanceMetricsReport", PERFORMANCE, NO_PERFORMANCE),
    without_source(
        "microsoftRemoteDesktopClientUsageReport",
        &[CLOUD_PC[0], inferred("ClientName", String)],
        "This installation does not learn which client a user connects with.",
    ),
    without_source("noLicenseAvailableConnectivityFailureReport", FRONTLINE, NO_SEATS),
    without_source("frontlineLicenseUsageReport", FRONTLINE, NO_SEATS),
    ReportTable {
        name: "frontlineLicenseUsageRealTimeReport",
        columns: &[
            inferred("ServicePlanId", String),
            inferred("ServicePlanName", String),
            inferred("LicensesCount", Int64),
            inferred("UsedLicensesCount", Int64),
            inferred("DateTime", DateTime),
        ],
        order: &[],
        source: Some(FrontlineLicenses::boxed),
        no_source: None,
    },
    without_source("frontlineLicenseHourlyUsageReport", FRONTLINE, NO_SEATS),
    without_source("frontlineRealtimeUserConnectionsReport", FRONTLINE, NO_SEATS),
    without_source(
        "crossRegionDisasterRecoveryReport",
        &[CLOUD_PC[0], inferred("DisasterRecoveryStatus", String)],
        "This installation has one place for machines, and none that takes over.",
    ),
];

const PERFORMANCE: &[Column] =
    &[CLOUD_PC[0], inferred("MetricName", String), inferred("DateTime", DateTime), inferred("Value", Double)];

const FRONTLINE: &[Column] = &[inferred("ServicePlanId", String), inferred("DateTime", DateTime)];

const fn without_source(name: &'static str, columns: &'static [Column], reason: &'static str) -> ReportTable {
    ReportTable { name, columns, order: &[], source: None, no_source: Some(reason) }
}

/// Returns the report of a name.
pub fn table(name: &str) -> Option<&'static ReportTable> {
    TABLES.iter().find(|table| table.name.eq_ignore_ascii_case(name))
}
