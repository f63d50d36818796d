//! Every registered operation × every invalid request, as one table. A registered operation without
//! a row fails the test.

use axum::body::Body;
use cloudpc_model::{
    ActionId, Before, CloudPc, CloudPcId, GalleryImage, ImageId, OsVersion, Product, Snapshot, SnapshotId,
    SnapshotType, TenantId, UndoRecord,
};
use cloudpc_server::operations::ALL;
use cloudpc_server::pipeline::BODY_BYTES_MAX;
use cloudpc_store::{Entitlement, Group, StoreError, Subscription, Tx, User, UserProfile};
use http::Request;
use serde_json::{Value, json};
use std::time::Duration;

use crate::document_cases;
use crate::world::{DESK_1, OWNER_TENANT, PARTNER, PLAN_2, Reply, START, TestServer, Who};

/// A valid request of an operation. `{…}` in the path stands for an existing id.
pub struct Case {
    pub key: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    /// A valid body, for an operation that requires one.
    pub body: Option<Value>,
    /// A property of the body and a value of a wrong type.
    wrong: Option<(&'static str, Value)>,
    /// Whether an empty body is right too.
    optional: bool,
}

/// Operations on what no role definition, assignment or action has.
pub const IS_NEVER_FOUND: &[&str] = &[
    "authenticationContext.get",
    "directoryScopes.get",
    "inheritsPermissionsFrom.assignedPrincipals",
    "inheritsPermissionsFrom.get",
];

fn case(key: &'static str, request: &'static str) -> Case {
    let (method, path) = request.split_once(' ').unwrap();
    Case { key, method, path, body: None, wrong: None, optional: false }
}

impl Case {
    pub fn of_document(
        key: &'static str,
        method: &'static str,
        path: &'static str,
        body: Option<Value>,
        wrong: Option<(&'static str, Value)>,
        optional: bool,
    ) -> Self {
        Self { key, method, path, body, wrong, optional }
    }

    fn with(self, body: Value, property: &'static str, wrong: Value) -> Self {
        Self { body: Some(body), wrong: Some((property, wrong)), ..self }
    }

    /// Adds an optional body.
    fn with_optional(self, property: &'static str, wrong: Value) -> Self {
        Self { wrong: Some((property, wrong)), ..self }
    }

    fn changes_something(&self) -> bool {
        self.method != "GET" && !self.reads_by_post()
    }

    /// Whether it reads although it is a POST.
    fn reads_by_post(&self) -> bool {
        self.key.starts_with("reports.") || self.key.starts_with("report.") || self.key == "cloudPC.validateBulkResize"
    }

    /// Returns a caller with the permissions for the operation.
    pub fn writer(&self) -> Who {
        writer(self.key)
    }

    fn takes_body(&self) -> bool {
        matches!(self.method, "POST" | "PATCH")
    }
}

/// Returns a caller of the first tenant with the permissions for an operation: an application,
/// unless the operation is for users only.
pub fn writer(key: &str) -> Who {
    let is_for_users = ALL.get(key).is_some_and(|row| row.access.application.is_empty());
    if is_for_users { Who::Ada } else { Who::Writer }
}

pub fn cases() -> Vec<Case> {
    own_cases().into_iter().chain(report_cases()).chain(document_cases::cases()).collect()
}

fn report_cases() -> Vec<Case> {
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

fn own_cases() -> Vec<Case> {
    let setting = json!({"agentUrl": "https://agents.fabrikam.test/a.msi", "agentSha256": "ab".repeat(32)});
    let partner = json!({"partnerId": "fab00000-0000-4000-8000-000000000009", "enableConnection": true});
    let user = json!({
        "accountEnabled": true, "displayName": "New", "mailNickname": "new", "userPrincipalName": "new@contoso.test",
        "passwordProfile": {"password": "correct horse"},
    });
    let group = json!({"displayName": "New", "mailEnabled": false, "mailNickname": "new", "securityEnabled": true});
    let licenses = json!({"addLicenses": [{"skuId": "{sku}"}], "removeLicenses": []});
    let apps = json!({"cloudAppIds": ["{cloudPcCloudApp}"]});
    vec![
        case("virtualEndpoint.get", "GET "),
        case("reports.get", "GET /reports"),
        case("report.get", "GET /report"),
        case("virtualEndpoint.organizationAction", "POST /organizationAction").with(
            json!({"actionType": "activate"}),
            "actionType",
            json!("pause"),
        ),
        case(
            "virtualEndpoint.retrieveOrganizationActionDetail",
            "GET /retrieveOrganizationActionDetail(actionType='activate')",
        ),
        case("virtualEndpoint.retrieveTenantEncryptionSetting", "GET /retrieveTenantEncryptionSetting"),
        case("cloudPcCloudApp.publish", "POST /cloudApps/publish").with(apps.clone(), "cloudAppIds", json!([])),
        case("cloudPcCloudApp.unpublish", "POST /cloudApps/unpublish").with(apps.clone(), "cloudAppIds", json!([])),
        case("cloudPcCloudApp.reset", "POST /cloudApps/reset").with(apps, "cloudAppIds", json!([7])),
        case(
            "cloudPcCloudApp.retrieveDiscoveredApps",
            "GET /cloudApps/retrieveDiscoveredApps(sourceId='microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc',provisioningPolicyId='{policy}')",
        ),
        case("cloudPC.list", "GET /cloudPCs"),
        case("cloudPC.count", "GET /cloudPCs/$count"),
        case("cloudPC.delta", "GET /cloudPCs/delta"),
        case("cloudPC.get", "GET /cloudPCs/{cloudPC}"),
        case("cloudPC.retrieveCloudPcCountByStatus", "GET /cloudPCs/retrieveCloudPcCountByStatus"),
        case(
            "cloudPC.getProvisionedCloudPCs",
            "GET /cloudPCs/getProvisionedCloudPCs(groupId='{group}',servicePlanId='{cloudPcServicePlan}')",
        ),
        case("cloudPC.validateBulkResize", "POST /cloudPCs/validateBulkResize").with(
            json!({"cloudPcIds": ["{cloudPC}"], "targetServicePlanId": PLAN_2}),
            "cloudPcIds",
            json!([]),
        ),
        case("cloudPC.reprovision", "POST /cloudPCs/{cloudPC}/reprovision")
            .with_optional("osVersion", json!("windows95")),
        case("cloudPC.resize", "POST /cloudPCs/{cloudPC}/resize").with(
            json!({"targetServicePlanId": PLAN_2}),
            "targetServicePlanId",
            json!(2),
        ),
        case("cloudPC.restore", "POST /cloudPCs/{cloudPC}/restore").with(
            json!({"cloudPcSnapshotId": "{snapshot}"}),
            "cloudPcSnapshotId",
            json!([]),
        ),
        case("cloudPC.rename", "POST /cloudPCs/{cloudPC}/rename").with(
            json!({"displayName": "new"}),
            "displayName",
            json!(true),
        ),
        case("cloudPC.changeUserAccountType", "POST /cloudPCs/{cloudPC}/changeUserAccountType").with(
            json!({"userAccountType": "administrator"}),
            "userAccountType",
            json!("owner"),
        ),
        case("cloudPC.reboot", "POST /cloudPCs/{cloudPC}/reboot"),
        case("cloudPC.powerOn", "POST /cloudPCs/{cloudPC}/powerOn"),
        case("cloudPC.powerOff", "POST /cloudPCs/{cloudPC}/powerOff"),
        case("cloudPC.start", "POST /cloudPCs/{frontlineCloudPC}/start"),
        case("cloudPC.stop", "POST /cloudPCs/{frontlineCloudPC}/stop"),
        case(
            "cloudPC.getFrontlineCloudPcAccessState",
            "GET /cloudPCs/{frontlineCloudPC}/getFrontlineCloudPcAccessState",
        ),
        case(
            "cloudPC.retrieveFrontlineCloudPcDetail",
            "GET /cloudPCs/{frontlineCloudPC}/retrieveFrontlineCloudPcDetail",
        ),
        case("cloudPC.retryPartnerAgentInstallation", "POST /cloudPCs/{cloudPC}/retryPartnerAgentInstallation"),
        case("cloudPC.setReviewStatus", "POST /cloudPCs/{cloudPC}/setReviewStatus").with(
            json!({"reviewStatus": {"inReview": true, "userAccessLevel": "restricted"}}),
            "reviewStatus",
            json!({"inReview": "yes"}),
        ),
        case("cloudPC.retrieveReviewStatus", "GET /cloudPCs/{cloudPC}/retrieveReviewStatus"),
        case("cloudPC.createSnapshot", "POST /cloudPCs/{cloudPC}/createSnapshot")
            .with_optional("accessTier", json!("warm")),
        case("cloudPC.troubleshoot", "POST /cloudPCs/{cloudPC}/troubleshoot"),
        case("cloudPC.endGracePeriod", "POST /cloudPCs/{cloudPC}/endGracePeriod"),
        case("cloudPC.undo", "POST /cloudPCs/{cloudPC}/cloudpc.undo"),
        case("cloudPC.getCloudPcConnectivityHistory", "GET /cloudPCs/{cloudPC}/getCloudPcConnectivityHistory"),
        case("cloudPC.retrieveSnapshots", "GET /cloudPCs/{cloudPC}/retrieveSnapshots"),
        case(
            "cloudPC.retrieveCloudPCRemoteActionResults",
            "GET /cloudPCs/{cloudPC}/retrieveCloudPCRemoteActionResults",
        ),
        case("cloudPC.getSupportedCloudPcRemoteActions", "GET /cloudPCs/{cloudPC}/getSupportedCloudPcRemoteActions"),
        case("cloudPC.retrieveCloudPcLaunchDetail", "GET /cloudPCs/{cloudPC}/retrieveCloudPcLaunchDetail"),
        case("cloudPC.getCloudPcLaunchInfo", "GET /cloudPCs/{cloudPC}/getCloudPcLaunchInfo"),
        case("cloudPC.screenshot", "GET /cloudPCs/{cloudPC}/cloudpc.screenshot"),
        case("cloudPC.actions", "GET /cloudPCs/{cloudPC}/cloudpc.actions"),
        case("action.get", "GET /cloudPCs/{cloudPC}/cloudpc.actions/{action}"),
        case("action.cancel", "POST /cloudPCs/{cloudPC}/cloudpc.actions/{action}/cloudpc.cancel"),
        case("action.settle", "POST /cloudPCs/{cloudPC}/cloudpc.actions/{action}/cloudpc.settle"),
        case("managedDevice.list", "GET ../managedDevices"),
        case("managedDevice.count", "GET ../managedDevices/$count"),
        case("managedDevice.get", "GET ../managedDevices/{managedDevice}"),
        case("managedDevice.reprovisionCloudPc", "POST ../managedDevices/{managedDevice}/reprovisionCloudPc"),
        case("managedDevice.resizeCloudPc", "POST ../managedDevices/{managedDevice}/resizeCloudPc").with(
            json!({"targetServicePlanId": PLAN_2}),
            "targetServicePlanId",
            json!({}),
        ),
        case("managedDevice.restoreCloudPc", "POST ../managedDevices/{managedDevice}/restoreCloudPc").with(
            json!({"cloudPcSnapshotId": "{snapshot}"}),
            "cloudPcSnapshotId",
            json!(7),
        ),
        case("managedDevice.setCloudPcReviewStatus", "POST ../managedDevices/{managedDevice}/setCloudPcReviewStatus")
            .with(json!({"reviewStatus": {"inReview": true}}), "reviewStatus", json!({"accessTier": "warm"})),
        case("managedDevice.getCloudPcReviewStatus", "GET ../managedDevices/{managedDevice}/getCloudPcReviewStatus"),
        case("managedDevice.setDeviceName", "POST ../managedDevices/{managedDevice}/setDeviceName").with(
            json!({"deviceName": "CPC-NEW"}),
            "deviceName",
            json!(7),
        ),
        case("managedDevice.syncDevice", "POST ../managedDevices/{managedDevice}/syncDevice"),
        case(
            "managedDevice.getCloudPcRemoteActionResults",
            "GET ../managedDevices/{managedDevice}/getCloudPcRemoteActionResults",
        ),
        case("managedDevice.bulkReprovisionCloudPc", "POST ../managedDevices/bulkReprovisionCloudPc").with(
            json!({"managedDeviceIds": ["{managedDevice}"]}),
            "managedDeviceIds",
            json!([]),
        ),
        case("managedDevice.bulkSetCloudPcReviewStatus", "POST ../managedDevices/bulkSetCloudPcReviewStatus").with(
            json!({"managedDeviceIds": ["{managedDevice}"], "reviewStatus": {"inReview": true}}),
            "reviewStatus",
            json!({"inReview": "yes"}),
        ),
        case("managedDevice.bulkRestoreCloudPc", "POST ../managedDevices/bulkRestoreCloudPc").with(
            json!({
                "managedDeviceIds": ["{managedDevice}"], "restorePointDateTime": "2026-01-01T00:00:00Z",
                "timeRange": "beforeOrAfter",
            }),
            "timeRange",
            json!("yesterday"),
        ),
        case("cloudPcBulkAction.list", "GET /bulkActions"),
        case("cloudPcBulkAction.count", "GET /bulkActions/$count"),
        case("cloudPcBulkAction.get", "GET /bulkActions/{bulkAction}"),
        case("cloudPcBulkAction.items", "GET /bulkActions/{bulkAction}/cloudpc.items"),
        case("cloudPcBulkAction.create", "POST /bulkActions").with(
            json!({
                "@odata.type": "#microsoft.graph.cloudPcBulkRestart", "displayName": "Restart",
                "cloudPcIds": ["{cloudPC}"],
            }),
            "cloudPcIds",
            json!([]),
        ),
        case("cloudPcBulkAction.retry", "POST /bulkActions/{bulkAction}/retry")
            .with_optional("cloudPcIds", json!(["not-in-it"])),
        case("cloudPcSnapshot.list", "GET /snapshots"),
        case("cloudPcSnapshot.count", "GET /snapshots/$count"),
        case("cloudPcSnapshot.get", "GET /snapshots/{snapshot}"),
        case("cloudPcSnapshot.delete", "DELETE /snapshots/{snapshot}"),
        case("cloudPcSnapshot.getSubscriptions", "GET /snapshots/getSubscriptions"),
        case(
            "cloudPcSnapshot.getStorageAccounts",
            "GET /snapshots/getStorageAccounts(subscriptionId='0ac520ee-14c0-480f-b6c9-0a90c585ffff')",
        ),
        case("cloudPcSnapshot.importSnapshot", "POST /snapshots/importSnapshot").with(
            json!({"sourceFiles": [{"sourceType": "sasUrl", "fileType": "dataFile", "sasUrl": "https://a.test/b"}]}),
            "sourceFiles",
            json!("all"),
        ),
        case(
            "cloudPcSnapshot.retrieveSnapshotImportResults",
            "GET /snapshots/retrieveSnapshotImportResults(snapshotId='none')",
        ),
        case("cloudPcSnapshot.purgeImportedSnapshot", "POST /snapshots/purgeImportedSnapshot").with(
            json!({"snapshotIds": []}),
            "snapshotIds",
            json!(7),
        ),
        case("cloudPcAuditEvent.list", "GET /auditEvents"),
        case("cloudPcAuditEvent.count", "GET /auditEvents/$count"),
        case("cloudPcAuditEvent.get", "GET /auditEvents/{auditEvent}"),
        case("cloudPcAuditEvent.getAuditActivityTypes", "GET /auditEvents/getAuditActivityTypes"),
        case("cloudPcExternalPartnerSetting.list", "GET /externalPartnerSettings"),
        case("cloudPcExternalPartnerSetting.count", "GET /externalPartnerSettings/$count"),
        case("cloudPcExternalPartnerSetting.get", "GET /externalPartnerSettings/{partner}"),
        case("cloudPcExternalPartnerSetting.create", "POST /externalPartnerSettings").with(
            partner.clone(),
            "enableConnection",
            json!("yes"),
        ),
        case("cloudPcExternalPartnerSetting.update", "PATCH /externalPartnerSettings/{partner}").with(
            json!({"enableConnection": false}),
            "enableConnection",
            json!(1),
        ),
        case("cloudPcExternalPartner.list", "GET /externalPartners"),
        case("cloudPcExternalPartner.count", "GET /externalPartners/$count"),
        case("cloudPcExternalPartner.get", "GET /externalPartners/{partner}"),
        case("cloudPcExternalPartner.create", "POST /externalPartners").with(partner, "enableConnection", json!("yes")),
        case("cloudPcExternalPartner.update", "PATCH /externalPartners/{partner}").with(
            json!({"enableConnection": false}),
            "enableConnection",
            json!(1),
        ),
        case("cloudPcExternalPartner.delete", "DELETE /externalPartners/{partner}"),
        case("cloudPcExternalPartner.configureAgent", "POST /externalPartners/{partner}/configureAgent").with(
            json!({"agentSetting": setting}),
            "agentSetting",
            json!({"agentUrl": 1}),
        ),
        case("cloudPcExternalPartner.deployAgent", "POST /externalPartners/{partner}/deployAgent").with(
            json!({"cloudPcIds": [DESK_1]}),
            "cloudPcIds",
            json!([DESK_1, null]),
        ),
        case(
            "cloudPcExternalPartner.retrieveDeployAgentActionResults",
            "GET /externalPartners/{partner}/retrieveDeployAgentActionResults(activityId='',cloudPcId='')",
        ),
        case("cloudPcExternalPartner.retrieveActionReports", "GET /externalPartners/{partner}/retrieveActionReports"),
        case("cloudPcExternalPartner.heartbeat", "POST /externalPartners/{partner}/cloudpc.heartbeat"),
        case("cloudPcExternalPartner.allowUrls", "POST /externalPartners/{partner}/cloudpc.allowUrls").with(
            json!({"urls": ["https://agents.fabrikam.test/"]}),
            "urls",
            json!(["https://no-slash.test"]),
        ),
        case("webhook.replay", "POST /webhooks/{webhook}/cloudpc.replay").with_optional("after", json!(7)),
        case("webhook.rotateSigningKey", "POST /webhooks/{webhook}/cloudpc.rotateSigningKey"),
        case("cloudPcExternalPartner.setDetection", "POST /externalPartners/{partner}/cloudpc.setDetection").with(
            json!({"command": "test -e /opt/agent"}),
            "command",
            json!("null\u{0}character"),
        ),
        case("cloudPcProvisioningPolicy.apply", "POST /provisioningPolicies/{cloudPcProvisioningPolicy}/apply")
            .with_optional("reservePercentage", json!(100)),
        case("cloudPcProvisioningPolicy.applyConfig", "POST /provisioningPolicies/applyConfig").with(
            json!({"policySettings": "region,singleSignOn", "cloudPcIds": ["{governedCloudPC}"]}),
            "cloudPcIds",
            json!(["no-guid"]),
        ),
        case(
            "cloudPcOnPremisesConnection.runHealthChecks",
            "POST /onPremisesConnections/{cloudPcOnPremisesConnection}/runHealthChecks",
        ),
        case(
            "cloudPcOnPremisesConnection.updateAdDomainPassword",
            "POST /onPremisesConnections/{cloudPcOnPremisesConnection}/updateAdDomainPassword",
        )
        .with(json!({"adDomainPassword": "another password"}), "adDomainPassword", json!(1)),
        case("cloudPcProvisioningPolicy.retry", "POST /provisioningPolicies/{cloudPcProvisioningPolicy}/retry"),
        case(
            "cloudPcProvisioningPolicy.schedulePolicyApplyTask",
            "POST /provisioningPolicies/{cloudPcProvisioningPolicy}/schedulePolicyApplyTask",
        )
        .with(
            json!({"scheduledRule": {"cronScheduleExpression": "0 0 0 20 * *", "timezone": "cst"}}),
            "scheduledRule",
            json!({"cronScheduleExpression": "0 0 20 * *"}),
        ),
        case(
            "cloudPcProvisioningPolicy.retrievePolicyApplyActionResult",
            "GET /provisioningPolicies/{cloudPcProvisioningPolicy}/retrievePolicyApplyActionResult",
        ),
        case(
            "cloudPcProvisioningPolicy.retrievePolicyApplySchedule",
            "GET /provisioningPolicies/{cloudPcProvisioningPolicy}/retrievePolicyApplySchedule",
        ),
        case(
            "cloudPcProvisioningPolicy.retrievePolicyUpdateStatusResult",
            "GET /provisioningPolicies/{cloudPcProvisioningPolicy}/retrievePolicyUpdateStatusResult",
        ),
        case("cloudPcDeviceImage.getSourceImages", "GET /deviceImages/getSourceImages()"),
        case("cloudPcDeviceImage.retryUpload", "POST /deviceImages/{cloudPcDeviceImage}/retryUpload"),
        case("cloudPcDeviceImage.reupload", "POST /deviceImages/{cloudPcDeviceImage}/reupload"),
        case("activity.actions", "GET /externalPartners/{partner}/cloudpc.activities/{activity}/cloudpc.actions"),
        case("activity.cancel", "POST /externalPartners/{partner}/cloudpc.activities/{activity}/cloudpc.cancel"),
        case("virtualEndpoint.getEffectivePermissions", "GET /getEffectivePermissions()"),
        case("virtualEndpoint.retrieveScopedPermissions", "GET /retrieveScopedPermissions()"),
        case("rbacApplicationMultiple.get", "GET ~/roleManagement/cloudPC"),
        case("unifiedRbacResourceNamespace.list", "GET ~/roleManagement/cloudPC/resourceNamespaces"),
        case("unifiedRbacResourceNamespace.count", "GET ~/roleManagement/cloudPC/resourceNamespaces/$count"),
        case("unifiedRbacResourceNamespace.get", "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}"),
        case(
            "unifiedRbacResourceAction.list",
            "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}/resourceActions",
        ),
        case(
            "unifiedRbacResourceAction.count",
            "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}/resourceActions/$count",
        ),
        case(
            "unifiedRbacResourceAction.get",
            "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}/resourceActions/{resourceAction}",
        ),
        case(
            "resourceScope.get",
            "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}/resourceActions/{resourceAction}/resourceScope",
        ),
        case(
            "authenticationContext.get",
            "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}/resourceActions/{resourceAction}/authenticationContext",
        ),
        case(
            "roleDefinition.get",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/roleDefinition",
        ),
        case(
            "roleDefinitions.assignedPrincipals",
            "GET ~/roleManagement/cloudPC/roleDefinitions/{unifiedRoleDefinition}/assignedPrincipals(transitive=true,directoryScopeType='',directoryScopeId='')",
        ),
        case(
            "inheritsPermissionsFrom.list",
            "GET ~/roleManagement/cloudPC/roleDefinitions/{unifiedRoleDefinition}/inheritsPermissionsFrom",
        ),
        case(
            "inheritsPermissionsFrom.count",
            "GET ~/roleManagement/cloudPC/roleDefinitions/{unifiedRoleDefinition}/inheritsPermissionsFrom/$count",
        ),
        case(
            "inheritsPermissionsFrom.get",
            "GET ~/roleManagement/cloudPC/roleDefinitions/{unifiedRoleDefinition}/inheritsPermissionsFrom/{user}",
        ),
        case(
            "inheritsPermissionsFrom.assignedPrincipals",
            "GET ~/roleManagement/cloudPC/roleDefinitions/{unifiedRoleDefinition}/inheritsPermissionsFrom/{user}/assignedPrincipals(transitive=true,directoryScopeType='',directoryScopeId='')",
        ),
        case("appScope.list", "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/appScopes"),
        case(
            "appScope.count",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/appScopes/$count",
        ),
        case(
            "appScope.get",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/appScopes/{appScope}",
        ),
        case(
            "directoryScopes.list",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/directoryScopes",
        ),
        case(
            "directoryScopes.count",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/directoryScopes/$count",
        ),
        case(
            "directoryScopes.get",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/directoryScopes/{user}",
        ),
        case(
            "principals.list",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/principals",
        ),
        case(
            "principals.count",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/principals/$count",
        ),
        case(
            "principals.get",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/principals/{assignedPrincipal}",
        ),
        case("users.list", "GET ~/users"),
        case("users.delta", "GET ~/users/delta"),
        case("users.count", "GET ~/users/$count"),
        case("users.get", "GET ~/users/{user}"),
        case("users.create", "POST ~/users").with(user, "accountEnabled", json!("yes")),
        case("users.update", "PATCH ~/users/{user}").with(json!({"displayName": "New"}), "displayName", json!(1)),
        case("users.delete", "DELETE ~/users/{user}"),
        case("users.assignLicense", "POST ~/users/{user}/assignLicense").with(
            licenses.clone(),
            "addLicenses",
            json!([{"skuId": "no-guid"}]),
        ),
        case("licenseDetails.list", "GET ~/users/{user}/licenseDetails"),
        case("memberOf.list", "GET ~/users/{user}/memberOf"),
        case("groups.list", "GET ~/groups"),
        case("groups.count", "GET ~/groups/$count"),
        case("groups.delta", "GET ~/groups/delta"),
        case("groups.get", "GET ~/groups/{group}"),
        case("groups.create", "POST ~/groups").with(group, "securityEnabled", json!("yes")),
        case("groups.update", "PATCH ~/groups/{group}").with(json!({"displayName": "New"}), "displayName", json!([])),
        case("groups.delete", "DELETE ~/groups/{group}"),
        case("groups.assignLicense", "POST ~/groups/{group}/assignLicense").with(
            licenses,
            "removeLicenses",
            json!(["no-guid"]),
        ),
        case("members.list", "GET ~/groups/{group}/members"),
        case("members.count", "GET ~/groups/{group}/members/$count"),
        case("members.create", "POST ~/groups/{group}/members/$ref").with(
            json!({"@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/{user}"}),
            "@odata.id",
            json!(1),
        ),
        case("members.delete", "DELETE ~/groups/{group}/members/{member}/$ref"),
        case("subscribedSku.list", "GET ~/subscribedSkus"),
        case("subscribedSku.get", "GET ~/subscribedSkus/{subscribedSku}"),
        case("assignedUsers.list", "GET /provisioningPolicies/{policy}/assignments/{assignment}/assignedUsers"),
        case("assignedUsers.count", "GET /provisioningPolicies/{policy}/assignments/{assignment}/assignedUsers/$count"),
        case("assignedUsers.get", "GET /provisioningPolicies/{policy}/assignments/{assignment}/assignedUsers/{member}"),
    ]
    .into_iter()
    .chain(below_assignments())
    .collect()
}

/// Cases of what is below an assignment of a policy.
fn below_assignments() -> Vec<Case> {
    let below = |key: &'static str, method: &str, path: &str| {
        let request = format!("{method} /provisioningPolicies/{{policy}}/assignments/{{assignment}}/{path}");
        case(key, Box::leak(request.into_boxed_str()))
    };
    let persistence = |name: &str, method: &str, path: &str| {
        let key = format!("userSettingsPersistenceDetail.{name}");
        below(Box::leak(key.into_boxed_str()), method, &format!("userSettingsPersistenceDetail{path}"))
    };
    let snapshots = "userSettingsPersistenceDetail/userProfileSnapshots";
    vec![
        below("mailboxSettings.get", "GET", "assignedUsers/{member}/mailboxSettings"),
        below("serviceProvisioningError.list", "GET", "assignedUsers/{member}/serviceProvisioningErrors"),
        below("serviceProvisioningError.count", "GET", "assignedUsers/{member}/serviceProvisioningErrors/$count"),
        persistence("get", "GET", ""),
        persistence(
            "retrieveUserSettingsPersistenceProfiles",
            "GET",
            "/retrieveUserSettingsPersistenceProfiles(configurationId='c')",
        ),
        persistence(
            "retrieveUserSettingsPersistenceProfileUsage",
            "GET",
            "/retrieveUserSettingsPersistenceProfileUsage(configurationId='c')",
        ),
        persistence(
            "batchCleanupUserSettingsPersistenceProfile",
            "POST",
            "/batchCleanupUserSettingsPersistenceProfile",
        )
        .with(json!({"configurationId": "c", "cloudProfileIds": ["p"]}), "cloudProfileIds", json!([])),
        persistence("bulkCreateUserProfileSnapshot", "POST", "/bulkCreateUserProfileSnapshot").with(
            json!({"cloudProfileIds": ["p"]}),
            "cloudProfileIds",
            json!([]),
        ),
        persistence("bulkExportUserProfileSnapshot", "POST", "/bulkExportUserProfileSnapshot").with(
            json!({"snapshotIds": ["s"]}),
            "snapshotIds",
            json!(7),
        ),
        below("cloudPcUserProfileSnapshot.list", "GET", snapshots),
        below("cloudPcUserProfileSnapshot.count", "GET", &format!("{snapshots}/$count")),
        below("cloudPcUserProfileSnapshot.get", "GET", &format!("{snapshots}/none")),
        below("cloudPcUserProfileSnapshot.restore", "POST", &format!("{snapshots}/none/restore")).with(
            json!({"targetAssignmentId": "{assignment}"}),
            "targetAssignmentId",
            json!([]),
        ),
    ]
}

/// A server with an object of each kind that the cases name, and their ids.
pub struct Scene {
    pub world: TestServer,
    pub ids: Vec<(&'static str, String)>,
}

pub const ROOT: &str = "/beta/deviceManagement/virtualEndpoint";
const IMAGE: &str = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc";

/// Returns an object of each kind in the `n`th tenant of `world.toml`, by placeholder. `who`
/// creates those that the scenario lacks.
pub async fn things(world: &TestServer, who: Who, n: u8, plan: &str, image: &str) -> Vec<(&'static str, String)> {
    let id = |last: &str| format!("{n}0000000-0000-4000-8000-{last:0>12}");
    let (desk, partner) = (id("d1"), id("fab1"));
    let cloud_pc: CloudPcId = desk.parse().unwrap();
    let snapshot = SnapshotId::new(cloud_pc, cloud_pc.0);
    let restore_point = Snapshot {
        tenant_id: id("1").parse::<TenantId>().unwrap(),
        id: snapshot.clone(),
        cloud_pc_id: cloud_pc,
        snapshot_type: SnapshotType::Manual,
        created_at: START,
        last_restored_at: None,
    };
    let tenant = restore_point.tenant_id;
    let unused = GalleryImage {
        id: ImageId(format!("nobodys_unused_{n}")),
        display_name: "Unused".into(),
        size_gib: 1,
        os_version: OsVersion::Windows11,
        os_version_number: None,
    };
    let unused_id = unused.id.0.clone();
    let (user, member, group, sku) = (id("da1"), id("da2"), id("6a1"), id("5a1"));
    let people = [user.clone(), member.clone()].map(|person| User {
        tenant_id: tenant,
        id: person.parse().unwrap(),
        user_principal_name: format!("{person}@tenant{n}.test"),
        display_name: "Somebody".into(),
        password_hash: None,
        roles: Vec::new(),
        permissions: Vec::new(),
        enabled: true,
        profile: UserProfile::default(),
        created_at: None,
    });
    let team = Group {
        tenant_id: tenant,
        id: group.parse().unwrap(),
        display_name: "Team".into(),
        description: None,
        mail_nickname: "team".into(),
        mail_enabled: false,
        security_enabled: true,
        created_at: START,
    };
    let subscription = Subscription {
        tenant_id: tenant,
        sku_id: sku.parse().unwrap(),
        service_plan_id: plan.parse().unwrap(),
        sku_part_number: "CPC_B".into(),
        units: 5,
    };
    let put = move |tx: &mut Tx<'_>| {
        people.iter().try_for_each(|person| tx.user_put(person))?;
        for id in [team.id.to_string(), document_cases::ASSIGNED.into(), document_cases::TO_ASSIGN.into()] {
            tx.group_put(&Group { id: id.parse().unwrap(), ..team.clone() })?;
        }
        tx.group_member_insert(tenant, team.id, people[1].id, START)?;
        tx.subscription_put(&subscription, START)?;
        tx.snapshot_put(&restore_point)?;
        tx.gallery_image_put(tenant, &unused)
    };
    world.app.store.write("test.write", put).await.unwrap();
    let deploy = format!("{ROOT}/externalPartners/{partner}/deployAgent");
    let deployed = world.call(who, "POST", &deploy, Some(json!({"cloudPcIds": [desk]}))).await;
    let first =
        async |path: &str| world.get(who, &format!("{ROOT}/{path}")).await.rows()[0]["id"].as_str().unwrap().to_owned();
    let action = first(&format!("cloudPCs/{desk}/cloudpc.actions")).await;
    let action_id: ActionId = action.parse().unwrap();
    let made = world.app.store.write("test.write", move |tx| {
        let way_back = UndoRecord {
            tenant_id: tenant,
            cloud_pc_id: cloud_pc,
            action_id,
            tag_nonce: None,
            before: Before::of(&tx.cloud_pc(tenant, cloud_pc)?.expect("the fleet has it"), true),
            kept_until: START + Duration::from_hours(24),
            size_bytes: None,
            dropping: false,
        };
        tx.undo_record_put(&way_back, START)
    });
    made.await.unwrap();
    let policies = format!("{ROOT}/provisioningPolicies");
    let body = json!({
        "displayName": format!("Desks {action}"), "imageId": image,
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
    });
    let policy = world.call(who, "POST", &policies, Some(body)).await.json()["id"].as_str().unwrap().to_owned();
    let body = json!({"assignments": [{"target": {"groupId": group}}]});
    assert_eq!(world.call(who, "POST", &format!("{policies}/{policy}/assign"), Some(body)).await.status, 204);
    // A Cloud PC of that policy, so that it can be applied.
    let governed = Entitlement {
        tenant_id: tenant,
        cloud_pc_id: cloud_pc,
        user_id: Some(id("da1").parse().unwrap()),
        policy_id: policy.clone(),
        assignment_id: String::new(),
        service_plan_id: plan.parse().unwrap(),
        sku_id: None,
    };
    let govern = move |tx: &mut Tx<'_>| match tx.entitlement(tenant, cloud_pc)? {
        Some(_) => Ok(()),
        None => tx.entitlement_insert(&governed),
    };
    world.app.store.write("test.write", govern).await.unwrap();
    let body = json!({
        "@odata.type": "#microsoft.graph.cloudPcBulkTroubleshoot", "displayName": "All desks", "cloudPcIds": [desk],
    });
    let bulk_action = world.call(who, "POST", &format!("{ROOT}/bulkActions"), Some(body)).await;
    let documents = document_cases::things(world, who, image).await;
    let (shared, shared_device) = (id("d9"), id("e9"));
    let (shared_id, shared_plan) = (shared.clone(), id("cf"));
    let share = move |tx: &mut Tx<'_>| {
        let desk = tx.cloud_pc(tenant, cloud_pc)?.expect("the fleet has it");
        let shared_id: CloudPcId = shared_id.parse().unwrap();
        if tx.cloud_pc(tenant, shared_id)?.is_some() {
            return Ok(());
        }
        tx.cloud_pc_insert(&CloudPc {
            id: shared_id,
            managed_device_id: shared_device.parse().unwrap(),
            managed_device_name: "CPC-shared".into(),
            display_name: "shared".into(),
            product: Product::Frontline,
            service_plan_id: shared_plan.parse().unwrap(),
            ..desk
        })
    };
    world.app.store.write("test.write", share).await.unwrap();
    let own = vec![
        ("{governedCloudPC}", desk.clone()),
        ("{frontlineCloudPC}", shared),
        ("{resourceNamespace}", "Microsoft.CloudPC".to_owned()),
        ("{resourceAction}", "Microsoft.CloudPC-CloudPCs-Read".to_owned()),
        ("{appScope}", "0".to_owned()),
        ("{assignedPrincipal}", document_cases::ASSIGNED.to_owned()),
        ("{assignment}", format!("{policy}_{group}")),
        ("{policy}", policy),
        ("{bulkAction}", bulk_action.json()["id"].as_str().unwrap().to_owned()),
        ("{subscribedSku}", format!("{tenant}_{sku}")),
        ("{sku}", sku),
        ("{group}", group),
        ("{user}", user),
        ("{member}", member),
        ("{action}", action),
        ("{auditEvent}", first("auditEvents").await),
        ("{cloudPC}", desk),
        ("{managedDevice}", id("e1")),
        ("{cloudPcServicePlan}", plan.to_owned()),
        ("{galleryImage}", image.to_owned()),
        ("{cloudPcGalleryImage}", image.to_owned()),
        ("{unused-cloudPcGalleryImage}", unused_id),
        ("{snapshot}", snapshot.0),
        ("{partner}", partner),
        ("{activity}", deployed.json()["value"].as_str().unwrap().to_owned()),
    ];
    own.into_iter().chain(documents).collect()
}

impl Scene {
    pub async fn new() -> Self {
        let world = TestServer::new().await;
        let ids = things(&world, Who::Writer, 1, PLAN_2, IMAGE).await;
        Self { world, ids }
    }

    fn path(&self, case: &Case) -> String {
        self.fill(case.path.to_owned())
    }

    /// Returns the path with its `place`th id replaced.
    fn path_with(&self, case: &Case, place: usize, id: &str) -> Option<String> {
        let mut names: Vec<_> = self.ids.iter().filter_map(|(name, _)| Some((case.path.find(name)?, *name))).collect();
        names.sort_unstable();
        names.get(place).map(|(_, name)| self.fill(case.path.replace(name, id)))
    }

    pub fn fill(&self, path: String) -> String {
        let filled = self.named(path);
        if let Some(path) = filled.strip_prefix('~') {
            return format!("/beta{path}");
        }
        match filled.strip_prefix("..") {
            Some(path) => format!("/beta/deviceManagement{path}"),
            None => format!("{ROOT}{filled}"),
        }
    }

    fn body(&self, case: &Case) -> Option<Value> {
        let text = case.body.as_ref()?.to_string();
        Some(serde_json::from_str(&self.named(text)).unwrap())
    }

    /// Replaces placeholders in a text by ids.
    pub fn named(&self, text: String) -> String {
        self.ids.iter().fold(text, |text, (name, id)| text.replace(name, id))
    }

    pub async fn send(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.world.send(request.body(Body::from(body)).unwrap()).await
    }

    async fn json(&self, token: &str, case: &Case, body: impl Into<Vec<u8>>) -> Reply {
        self.send(Some(token), case.method, &self.path(case), &[("content-type", "application/json")], body.into())
            .await
    }

    /// Returns the state that a rejected request must not change.
    async fn state(&self) -> Vec<String> {
        let mut state = Vec::new();
        for path in [
            "auditEvents",
            "bulkActions",
            "externalPartners",
            "cloudPCs?$select=*",
            "snapshots",
            "galleryImages",
            "provisioningPolicies?$expand=assignments",
            "userSettings?$expand=assignments",
            "onPremisesConnections",
            "webhooks",
            "maintenanceWindows?$expand=assignments",
            "settingProfiles?$expand=assignments",
            "cloudApps",
            "cloudPcPools?$expand=assignments",
        ] {
            state.push(self.world.get(Who::Writer, &format!("{ROOT}/{path}")).await.body);
        }
        state.push(self.world.get(Who::Writer, &format!("{ROOT}/cloudPCs/{DESK_1}/cloudpc.actions")).await.body);
        let group = self.named("groups/{group}/members".into());
        state.push(self.world.get(Who::Writer, "/beta/deviceManagement/monitoring/alertRules").await.body);
        let roles = ["roleManagement/cloudPC/roleDefinitions", "roleManagement/cloudPC/roleAssignments"];
        for path in ["users?$select=*", "groups?$select=*", "subscribedSkus", &group].into_iter().chain(roles) {
            state.push(self.world.get(Who::Writer, &format!("/beta/{path}")).await.body);
        }
        state
    }
}

fn assert_error(case: &Case, what: &str, reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.error(), (status, code.to_owned()), "{}: {what}: {}", case.key, reply.body);
    let error = &reply.json()["error"];
    assert!(error["message"].as_str().unwrap().len() > 10, "{}: {what}: {error}", case.key);
    assert!(error["innerError"]["request-id"].is_string() && error["innerError"]["date"].is_string());
}

#[tokio::test]
async fn every_registered_operation_has_a_case() {
    let cases = cases();
    let missing: Vec<_> = ALL.keys().filter(|key| !cases.iter().any(|case| case.key == **key)).collect();
    assert_eq!(missing, Vec::<&&str>::new());
    assert_eq!(cases.len(), ALL.len());
}

/// Every audited operation leaves a change in the feed.
#[tokio::test]
async fn each_case_is_a_valid_request_and_each_change_is_in_the_feed() {
    let shared = Scene::new().await;
    let mut wrong = Vec::new();
    let known = shared.world.get(Who::Writer, &format!("{ROOT}/auditEvents/getAuditActivityTypes?$top=999")).await;
    let known: Vec<String> = serde_json::from_value(known.json()["value"].clone()).unwrap();
    for case in cases() {
        // Changes remove objects that other cases need, so each change has its own server.
        let own = if case.changes_something() { Some(Scene::new().await) } else { None };
        let scene = own.as_ref().unwrap_or(&shared);
        // Only the owner of the installation may open the host's network.
        let who = if case.key == "cloudPcExternalPartner.allowUrls" { Who::Owner } else { case.writer() };
        let written = async || {
            let tenant = OWNER_TENANT.parse().unwrap();
            let store = &scene.world.app.store;
            let read = store.read(move |reader| Ok((reader.audit_count(tenant)?, reader.change_head(tenant)?.number)));
            read.await.map_err(|error: StoreError| error).unwrap()
        };
        let before = written().await;
        let reply = scene.world.call(who, case.method, &scene.path(&case), scene.body(&case)).await;
        // No action here is stuck, simulated machines have no display, and no Cloud PC is in its
        // grace period.
        let in_vain =
            ["action.settle", "cloudPC.screenshot", "cloudPC.endGracePeriod", "cloudPcSnapshot.importSnapshot"];
        let in_vain = in_vain.contains(&case.key);
        // No profile of a user is stored here.
        let of_nothing = [
            "cloudPcUserProfileSnapshot.get",
            "cloudPcUserProfileSnapshot.restore",
            "userSettingsPersistenceDetail.batchCleanupUserSettingsPersistenceProfile",
        ];
        let right = match case.key {
            _ if in_vain => reply.status == 409,
            key if of_nothing.contains(&key) || IS_NEVER_FOUND.contains(&key) => reply.status == 404,
            _ => reply.status.is_success(),
        };
        assert!(right, "{}: {reply}", case.key);
        let after = written().await;
        if after.0 > before.0 {
            let tenant = OWNER_TENANT.parse().unwrap();
            let store = &scene.world.app.store;
            let newest = store.read(move |reader| reader.audit_list(tenant, None, 1)).await.unwrap();
            let activity = newest[0].activity();
            assert!(known.contains(&activity), "{}: getAuditActivityTypes does not list {activity:?}", case.key);
        }
        let (is_audited, is_noted) = (after.0 > before.0, after.1 > before.1);
        // A retry of a policy only queues users, for whom nothing is missing here, and no item of
        // the bulk action has failed; a synchronization only schedules an observation.
        let queues = ["cloudPcProvisioningPolicy.retry", "cloudPcBulkAction.retry", "managedDevice.syncDevice"];
        let is_missed = is_audited && !is_noted && !queues.contains(&case.key);
        if is_missed || is_noted && !case.changes_something() {
            wrong.push(case.key);
        }
    }
    assert_eq!(wrong, Vec::<&str>::new());
}

#[tokio::test]
async fn request_without_a_valid_token_gets_401() {
    let scene = Scene::new().await;
    let before = scene.state().await;
    let good = scene.world.token(Who::Writer).await;
    let garbage = format!("{}x", &good[..good.len() - 1]);
    for case in cases() {
        for (what, token) in
            [("no token", None), ("garbage", Some("garbage")), ("bad signature", Some(garbage.as_str()))]
        {
            let reply = scene.send(token, case.method, &scene.path(&case), &[], Vec::new()).await;
            assert_error(&case, what, &reply, 401, "InvalidAuthenticationToken");
        }
    }
    let unknown = scene.send(None, "GET", "/beta/no/such/path", &[], Vec::new()).await;
    assert_eq!(unknown.error().0, 401, "paths are unknown without a token");
    assert_eq!(scene.state().await, before);

    scene.world.host_clock.advance(Duration::from_secs(2 * 3600)).await;
    for case in cases() {
        let reply = scene.send(Some(&good), case.method, &scene.path(&case), &[], Vec::new()).await;
        assert_error(&case, "expired token", &reply, 401, "InvalidAuthenticationToken");
    }
}

#[tokio::test]
async fn missing_permission_is_reported_first() {
    let scene = Scene::new().await;
    let before = scene.state().await;
    let (nobody, reader) = (scene.world.token(Who::Nobody).await, scene.world.token(Who::Reader).await);
    for case in cases() {
        assert_error(&case, "no permission", &scene.json(&nobody, &case, "").await, 403, "Forbidden");
        if case.writer() == Who::Ada {
            let application = scene.world.token(Who::Writer).await;
            assert_error(&case, "an application", &scene.json(&application, &case, "").await, 403, "Forbidden");
        }
        if case.changes_something() {
            assert_error(&case, "reads only", &scene.json(&reader, &case, "").await, 403, "Forbidden");
            assert_error(&case, "reads only, broken body", &scene.json(&reader, &case, "{").await, 403, "Forbidden");
        }
    }
    assert_eq!(scene.state().await, before);
}

#[tokio::test]
async fn missing_object_or_object_of_another_tenant_gets_404() {
    let scene = Scene::new().await;
    let before = scene.state().await;
    let json = [("content-type", "application/json")];
    for case in cases() {
        let stranger = if case.writer() == Who::Ada { Who::Grace } else { Who::Stranger };
        let (writer, stranger) = (scene.world.token(case.writer()).await, scene.world.token(stranger).await);
        let body = || scene.body(&case).map(|body| body.to_string().into_bytes()).unwrap_or_default();
        for place in 0..2 {
            for id in ["10000000-0000-4000-8000-00000000dead", "no-id", "%27%20or%201=1"] {
                let Some(path) = scene.path_with(&case, place, id) else { continue };
                let reply = scene.send(Some(&writer), case.method, &path, &json, body()).await;
                // The types of a function's arguments are checked before anything is looked up.
                let (status, code) = match case.path.contains("='{") && !id.ends_with("dead") {
                    true => (400, "BadRequest"),
                    false => (404, "ResourceNotFound"),
                };
                assert_error(&case, id, &reply, status, code);
            }
        }
        if case.path.contains('{') && !document_cases::is_shared(case.path) {
            let reply = scene.send(Some(&stranger), case.method, &scene.path(&case), &json, body()).await;
            assert_error(&case, "another tenant", &reply, 404, "ResourceNotFound");
        }
    }
    assert_eq!(scene.state().await, before);
}

#[tokio::test]
async fn invalid_body_changes_nothing() {
    let scene = Scene::new().await;
    let before = scene.state().await;
    for case in cases().into_iter().filter(Case::takes_body) {
        let writer = scene.world.token(case.writer()).await;
        for body in
            ["{", "[]", "\"text\"", "{\"a\":1,}", "{\"noSuchProperty\":1}", "{\"a\":\"\\ud800\"}", "\u{feff}{}x"]
        {
            assert_error(&case, body, &scene.json(&writer, &case, body).await, 400, "BadRequest");
        }
        let large = format!("{{\"a\":\"{}\"}}", "a".repeat(BODY_BYTES_MAX));
        assert_error(&case, "too large", &scene.json(&writer, &case, large).await, 413, "RequestEntityTooLarge");
        let path = scene.path(&case);
        let headers = [("content-type", "text/plain"), ("accept", "*/*")];
        let reply = scene.send(Some(&writer), case.method, &path, &headers, b"{}".to_vec()).await;
        assert_error(&case, "media type", &reply, 415, "UnsupportedMediaType");
        if let Some((property, wrong)) = &case.wrong {
            let body = |value: &Value| {
                let mut body = scene.body(&case).unwrap_or_else(|| json!({}));
                body[*property] = value.clone();
                body.to_string()
            };
            assert_error(&case, "wrong type", &scene.json(&writer, &case, body(wrong)).await, 400, "BadRequest");
            if case.body.is_some() && !case.optional {
                assert_error(&case, "null", &scene.json(&writer, &case, body(&Value::Null)).await, 400, "BadRequest");
                if case.method != "PATCH" {
                    assert_error(&case, "nothing", &scene.json(&writer, &case, "{}").await, 400, "BadRequest");
                }
            }
        }
        if case.method == "PATCH" {
            let reply = scene.json(&writer, &case, "{}").await;
            assert!(reply.status.is_success(), "{}: an update without properties: {}", case.key, reply.body);
        }
    }
    assert_eq!(scene.state().await, before);
}

#[tokio::test]
async fn unsupported_options_and_methods_are_rejected() {
    let scene = Scene::new().await;
    let before = scene.state().await;
    let nobody = scene.world.token(Who::Nobody).await;
    for case in cases() {
        let writer = scene.world.token(case.writer()).await;
        let path = scene.path(&case);
        for query in
            ["$noSuchOption=1", "noSuchOption=1", "$top=-1", "$select=noSuchProperty", "$top=1&$top=2", "$expand=x"]
        {
            let reply = scene.send(Some(&writer), case.method, &format!("{path}?{query}"), &[], Vec::new()).await;
            assert_error(&case, query, &reply, 400, "BadRequest");
            let reply = scene.send(Some(&nobody), case.method, &format!("{path}?{query}"), &[], Vec::new()).await;
            assert_error(&case, query, &reply, 403, "Forbidden");
        }
        for method in ["PUT", "OPTIONS", "BREW"] {
            let reply = scene.send(Some(&writer), method, &path, &[], Vec::new()).await;
            assert_error(&case, method, &reply, 405, "Request_BadRequest");
            assert!(
                reply.headers["allow"].to_str().unwrap().contains(case.method),
                "{}: {:?}",
                case.key,
                reply.headers
            );
        }
    }
    assert_eq!(scene.state().await, before);
}

#[tokio::test]
async fn deployment_is_limited() {
    let scene = Scene::new().await;
    let path = format!("{ROOT}/externalPartners/{PARTNER}/deployAgent");
    let ids =
        |count: usize| Some(json!({"cloudPcIds": (0..count).map(|n| format!("machine-{n}")).collect::<Vec<_>>()}));
    for (count, status) in [(0, 400), (1, 200), (50, 200), (51, 400)] {
        assert_eq!(scene.world.call(Who::Writer, "POST", &path, ids(count)).await.status, status, "{count} ids");
    }
    for id in ["", " ", "a\u{0}b", &"x".repeat(129)] {
        let reply = scene.world.call(Who::Writer, "POST", &path, Some(json!({"cloudPcIds": [id]}))).await;
        assert_eq!(reply.error(), (400, "BadRequest".into()), "{id:?}");
    }
    let disabled = format!("{ROOT}/externalPartners/{}/deployAgent", crate::world::PARTNER_DISABLED);
    let reply = scene.world.call(Who::Writer, "POST", &disabled, ids(1)).await;
    assert_eq!(reply.error(), (409, "partnerConnectionDisabled".into()));
}

#[tokio::test]
async fn second_remote_action_gets_409_with_the_first() {
    let scene = Scene::new().await;
    let path = format!("{ROOT}/cloudPCs/{DESK_1}/reboot");
    assert_eq!(scene.world.post(Who::Writer, &path).await.status, 204);
    let reply = scene.world.post(Who::Writer, &path).await;
    assert_eq!(reply.error(), (409, "remoteActionInProgress".into()));
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("reboot is already pending"), "{reply}");
    let failed = format!("{ROOT}/cloudPCs/10000000-0000-4000-8000-0000000000d3/reboot");
    assert_eq!(scene.world.post(Who::Writer, &failed).await.error(), (409, "cloudPcStatusNotAllowed".into()));
}
