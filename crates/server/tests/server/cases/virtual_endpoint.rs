//! Cases of Cloud PCs, managed devices, partners and what else is below the virtual endpoint, but
//! for documents and reports.

use serde_json::json;

use super::{Case, case};
use crate::world::{DESK_1, PLAN_2};

pub fn cases() -> Vec<Case> {
    let setting = json!({"agentUrl": "https://agents.fabrikam.test/a.msi", "agentSha256": "ab".repeat(32)});
    let partner = json!({"partnerId": "fab00000-0000-4000-8000-000000000009", "enableConnection": true});
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
    ]
}
