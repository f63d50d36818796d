//! What each operation requires of a signed-in user: the only table that maps operations to
//! resource actions.

use std::collections::HashMap;
use std::sync::LazyLock;

use cloudpc_model::DocumentType;

use super::catalog::NAMESPACE;
use crate::documents::{self, Binding, DocumentShape, Verb};
use crate::pipeline::ADMINISTER;

/// What role-based access control requires for an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// This action. The operation shows and changes only what the caller's scope tags reach.
    Scoped(String),
    /// This action without scope tags: the operation concerns the tenant as a whole.
    Unscoped(String),
    /// No action, for this reason.
    Exempt(&'static str),
}

/// What users need a role for also on their own Cloud PCs.
pub const ADMINISTRATIVE: [&str; 5] =
    ["ChangeUserAccountType", "EndGracePeriod", "PlaceUnderReview", "Resize", "RetryPartnerAgentInstallation"];

impl Requirement {
    /// Whether users need no role for it on their own Cloud PCs.
    pub fn is_own_use(&self) -> bool {
        match self {
            Self::Scoped(action) | Self::Unscoped(action) => {
                !ADMINISTRATIVE.iter().any(|verb| action.strip_suffix(verb).is_some_and(|rest| rest.ends_with('/')))
            }
            Self::Exempt(_) => true,
        }
    }
}

/// A requirement, as the table below writes it.
enum Row {
    Scoped(&'static str),
    Unscoped(&'static str),
    Exempt(&'static str),
}

use Row::{Exempt, Scoped, Unscoped};

const DIRECTORY: &str = "The permissions of the directory govern it.";
const INSTALLATION: &str = "The permission to administer the installation governs it.";
const EMPTY: &str = "It holds nothing of the tenant.";
const OWN: &str = "Callers may always see what they are allowed to do.";

/// The operations that are not those of every document.
const OPERATIONS: &[(&str, Row)] = &[
    ("cloudPC.list", Scoped("CloudPCs/Read")),
    ("cloudPC.count", Scoped("CloudPCs/Read")),
    ("cloudPC.delta", Scoped("CloudPCs/Read")),
    ("cloudPC.get", Scoped("CloudPCs/Read")),
    ("cloudPC.retrieveCloudPcCountByStatus", Scoped("CloudPCs/Read")),
    ("cloudPC.validateBulkResize", Scoped("CloudPCs/Read")),
    ("cloudPC.getProvisionedCloudPCs", Scoped("CloudPCs/Read")),
    ("cloudPC.changeUserAccountType", Scoped("CloudPCs/ChangeUserAccountType")),
    ("cloudPC.setReviewStatus", Scoped("CloudPCs/PlaceUnderReview")),
    ("cloudPC.retrieveReviewStatus", Scoped("CloudPCs/Read")),
    ("cloudPC.retryPartnerAgentInstallation", Scoped("CloudPCs/RetryPartnerAgentInstallation")),
    ("cloudPC.start", Scoped("CloudPCs/Start")),
    ("cloudPC.stop", Scoped("CloudPCs/Stop")),
    ("cloudPC.getFrontlineCloudPcAccessState", Scoped("CloudPCs/Read")),
    ("cloudPC.retrieveFrontlineCloudPcDetail", Scoped("CloudPCs/Read")),
    ("cloudPC.reprovision", Scoped("CloudPCs/Reprovision")),
    ("cloudPC.resize", Scoped("CloudPCs/Resize")),
    ("cloudPC.restore", Scoped("CloudPCs/Restore")),
    ("cloudPC.rename", Scoped("CloudPCs/Rename")),
    ("cloudPC.reboot", Scoped("CloudPCs/Reboot")),
    ("cloudPC.powerOn", Scoped("CloudPCs/PowerOn")),
    ("cloudPC.powerOff", Scoped("CloudPCs/PowerOff")),
    ("cloudPC.createSnapshot", Scoped("CloudPCs/CreateSnapshot")),
    ("cloudPC.troubleshoot", Scoped("CloudPCs/Troubleshoot")),
    ("cloudPC.endGracePeriod", Scoped("CloudPCs/EndGracePeriod")),
    ("cloudPC.undo", Scoped("CloudPCs/Restore")),
    ("cloudPC.retrieveSnapshots", Scoped("Snapshot/Read")),
    ("cloudPC.getCloudPcConnectivityHistory", Scoped("CloudPCs/Read")),
    ("cloudPC.retrieveCloudPCRemoteActionResults", Scoped("CloudPCs/Read")),
    ("cloudPC.getSupportedCloudPcRemoteActions", Scoped("CloudPCs/Read")),
    ("cloudPC.retrieveCloudPcLaunchDetail", Scoped("CloudPCs/GetCloudPcLaunchInfo")),
    ("cloudPC.getCloudPcLaunchInfo", Scoped("CloudPCs/GetCloudPcLaunchInfo")),
    // Whoever sees the screen sees what the launch information leads to.
    ("cloudPC.screenshot", Scoped("CloudPCs/GetCloudPcLaunchInfo")),
    ("cloudPC.actions", Scoped("CloudPCs/Read")),
    ("action.get", Scoped("CloudPCs/Read")),
    ("action.cancel", Scoped("CloudPCs/ManageActions")),
    ("action.settle", Scoped("CloudPCs/ManageActions")),
    ("managedDevice.list", Scoped("CloudPCs/Read")),
    ("managedDevice.count", Scoped("CloudPCs/Read")),
    ("managedDevice.get", Scoped("CloudPCs/Read")),
    ("managedDevice.reprovisionCloudPc", Scoped("CloudPCs/Reprovision")),
    ("managedDevice.resizeCloudPc", Scoped("CloudPCs/Resize")),
    ("managedDevice.restoreCloudPc", Scoped("CloudPCs/Restore")),
    ("managedDevice.bulkReprovisionCloudPc", Scoped("CloudPCs/Reprovision")),
    ("managedDevice.bulkSetCloudPcReviewStatus", Scoped("CloudPCs/PlaceUnderReview")),
    ("managedDevice.bulkRestoreCloudPc", Scoped("CloudPCs/Restore")),
    ("managedDevice.setCloudPcReviewStatus", Scoped("CloudPCs/PlaceUnderReview")),
    ("managedDevice.getCloudPcReviewStatus", Scoped("CloudPCs/Read")),
    ("managedDevice.setDeviceName", Scoped("CloudPCs/Rename")),
    ("managedDevice.syncDevice", Scoped("CloudPCs/CheckAgentStatus")),
    ("managedDevice.getCloudPcRemoteActionResults", Scoped("CloudPCs/Read")),
    // A bulk action may name any Cloud PC. What it does requires its own action, too.
    ("cloudPcBulkAction.list", Unscoped("BulkActions/Read")),
    ("cloudPcBulkAction.count", Unscoped("BulkActions/Read")),
    ("cloudPcBulkAction.get", Unscoped("BulkActions/Read")),
    ("cloudPcBulkAction.items", Unscoped("BulkActions/Read")),
    ("cloudPcBulkAction.create", Unscoped("BulkActions/Write")),
    ("cloudPcBulkAction.retry", Unscoped("BulkActions/Write")),
    // Microsoft has no action for it: who may create a restore point may delete one.
    ("cloudPcSnapshot.delete", Scoped("CloudPCs/CreateSnapshot")),
    ("cloudPcSnapshot.importSnapshot", Unscoped("Snapshot/Import")),
    ("cloudPcSnapshot.purgeImportedSnapshot", Unscoped("Snapshot/PurgeImportedSnapshot")),
    ("cloudPcSnapshot.retrieveSnapshotImportResults", Unscoped("Snapshot/Read")),
    ("cloudPcSnapshot.getStorageAccounts", Unscoped("Snapshot/Share")),
    ("cloudPcSnapshot.getSubscriptions", Unscoped("Snapshot/Share")),
    ("cloudPcSnapshot.list", Scoped("Snapshot/Read")),
    ("cloudPcSnapshot.count", Scoped("Snapshot/Read")),
    ("cloudPcSnapshot.get", Scoped("Snapshot/Read")),
    // The audit log names entities and their values, whatever their tags.
    ("cloudPcAuditEvent.list", Unscoped("AuditData/Read")),
    ("cloudPcAuditEvent.count", Unscoped("AuditData/Read")),
    ("cloudPcAuditEvent.get", Unscoped("AuditData/Read")),
    ("cloudPcAuditEvent.getAuditActivityTypes", Unscoped("AuditData/Read")),
    ("cloudPcExternalPartnerSetting.list", Unscoped("ExternalPartnerSettings/Read")),
    ("cloudPcExternalPartnerSetting.count", Unscoped("ExternalPartnerSettings/Read")),
    ("cloudPcExternalPartnerSetting.get", Unscoped("ExternalPartnerSettings/Read")),
    ("cloudPcExternalPartnerSetting.create", Unscoped("ExternalPartnerSettings/Create")),
    ("cloudPcExternalPartnerSetting.update", Unscoped("ExternalPartnerSettings/Update")),
    // Publishing counts against a limit that a policy has for all its apps.
    ("cloudPcCloudApp.publish", Unscoped("CloudApps/Publish")),
    ("cloudPcCloudApp.unpublish", Unscoped("CloudApps/Unpublish")),
    ("cloudPcCloudApp.reset", Unscoped("CloudApps/Reset")),
    ("cloudPcCloudApp.retrieveDiscoveredApps", Unscoped("CloudApps/Read")),
    ("virtualEndpoint.get", Exempt(EMPTY)),
    ("reports.get", Exempt(EMPTY)),
    ("report.get", Exempt(EMPTY)),
    ("virtualEndpoint.organizationAction", Unscoped("OrganizationSettings/Update")),
    ("virtualEndpoint.retrieveOrganizationActionDetail", Unscoped("OrganizationSettings/Read")),
    ("virtualEndpoint.retrieveTenantEncryptionSetting", Unscoped("OrganizationSettings/Read")),
    ("userSettingsPersistenceDetail.get", Scoped("ProvisioningPolicies/Read")),
    ("userSettingsPersistenceDetail.retrieveUserSettingsPersistenceProfiles", Scoped("ProvisioningPolicies/Read")),
    ("userSettingsPersistenceDetail.retrieveUserSettingsPersistenceProfileUsage", Scoped("ProvisioningPolicies/Read")),
    ("userSettingsPersistenceDetail.batchCleanupUserSettingsPersistenceProfile", Scoped("ProvisioningPolicies/Update")),
    ("userSettingsPersistenceDetail.bulkCreateUserProfileSnapshot", Scoped("ProvisioningPolicies/Update")),
    ("userSettingsPersistenceDetail.bulkExportUserProfileSnapshot", Scoped("ProvisioningPolicies/Update")),
    ("cloudPcUserProfileSnapshot.list", Scoped("ProvisioningPolicies/Read")),
    ("cloudPcUserProfileSnapshot.count", Scoped("ProvisioningPolicies/Read")),
    ("cloudPcUserProfileSnapshot.get", Scoped("ProvisioningPolicies/Read")),
    ("cloudPcUserProfileSnapshot.restore", Scoped("ProvisioningPolicies/Update")),
    ("mailboxSettings.get", Scoped("ProvisioningPolicies/Read")),
    ("serviceProvisioningError.list", Scoped("ProvisioningPolicies/Read")),
    ("serviceProvisioningError.count", Scoped("ProvisioningPolicies/Read")),
    // Partners and their deployments belong to the whole tenant.
    ("cloudPcExternalPartner.list", Unscoped("ExternalPartnerSettings/Read")),
    ("cloudPcExternalPartner.count", Unscoped("ExternalPartnerSettings/Read")),
    ("cloudPcExternalPartner.get", Unscoped("ExternalPartnerSettings/Read")),
    ("cloudPcExternalPartner.create", Unscoped("ExternalPartnerSettings/Create")),
    ("cloudPcExternalPartner.update", Unscoped("ExternalPartnerSettings/Update")),
    ("cloudPcExternalPartner.delete", Unscoped("ExternalPartnerSettings/Update")),
    ("cloudPcExternalPartner.configureAgent", Unscoped("ExternalPartnerSettings/Update")),
    ("cloudPcExternalPartner.deployAgent", Unscoped("CloudPCs/ReinstallAgent")),
    ("cloudPcExternalPartner.retrieveDeployAgentActionResults", Unscoped("CloudPCs/RetrieveAgentStatus")),
    ("cloudPcExternalPartner.retrieveActionReports", Unscoped("CloudPCs/RetrieveAgentStatus")),
    ("cloudPcExternalPartner.heartbeat", Unscoped("ExternalPartnerSettings/Update")),
    ("cloudPcExternalPartner.setDetection", Unscoped("ExternalPartnerSettings/Update")),
    ("cloudPcExternalPartner.allowUrls", Exempt(INSTALLATION)),
    ("activity.actions", Unscoped("CloudPCs/RetrieveAgentStatus")),
    ("activity.cancel", Unscoped("CloudPCs/ReinstallAgent")),
    ("cloudPcProvisioningPolicy.apply", Scoped("ProvisioningPolicies/Apply")),
    ("cloudPcProvisioningPolicy.applyConfig", Scoped("CloudPCs/ApplyCurrentProvisioningPolicy")),
    ("cloudPcProvisioningPolicy.retry", Scoped("CloudPCs/Provision")),
    ("cloudPcProvisioningPolicy.schedulePolicyApplyTask", Scoped("ProvisioningPolicies/Apply")),
    ("cloudPcProvisioningPolicy.retrievePolicyApplyActionResult", Scoped("ProvisioningPolicies/Read")),
    ("cloudPcProvisioningPolicy.retrievePolicyApplySchedule", Scoped("ProvisioningPolicies/Read")),
    ("cloudPcProvisioningPolicy.retrievePolicyUpdateStatusResult", Scoped("ProvisioningPolicies/Read")),
    ("assignedUsers.list", Scoped("ProvisioningPolicies/Read")),
    ("assignedUsers.count", Scoped("ProvisioningPolicies/Read")),
    ("assignedUsers.get", Scoped("ProvisioningPolicies/Read")),
    ("cloudPcOnPremisesConnection.runHealthChecks", Scoped("OnPremisesConnections/RunHealthChecks")),
    ("cloudPcOnPremisesConnection.updateAdDomainPassword", Scoped("OnPremisesConnections/UpdateAdDomainPassword")),
    ("cloudPcDeviceImage.getSourceImages", Scoped("DeviceImages/Read")),
    ("cloudPcDeviceImage.retryUpload", Scoped("DeviceImages/Create")),
    ("cloudPcDeviceImage.reupload", Scoped("DeviceImages/Create")),
    ("report.retrieveCloudPcClientAppUsageReport", Scoped("PerformanceReports/Read")),
    ("report.retrieveCloudPcRecommendationReports", Scoped("DeviceRecommendation/Read")),
    ("reports.getActionStatusReports", Scoped("ActionStatus/Read")),
    ("reports.getCloudPcPerformanceReport", Scoped("PerformanceReports/Read")),
    ("reports.getCloudPcRecommendationReports", Scoped("DeviceRecommendation/Read")),
    ("reports.getConnectionQualityReports", Scoped("PerformanceReports/Read")),
    ("reports.getDailyAggregatedRemoteConnectionReports", Scoped("PerformanceReports/Read")),
    ("reports.getFrontlineReport", Scoped("FrontlineReports/Read")),
    ("reports.getInaccessibleCloudPcReports", Scoped("InaccessibleReports/Read")),
    ("reports.getRawRemoteConnectionReports", Scoped("PerformanceReports/Read")),
    ("reports.getRealTimeRemoteConnectionLatency", Scoped("PerformanceReports/Read")),
    ("reports.getRealTimeRemoteConnectionStatus", Scoped("PerformanceReports/Read")),
    ("reports.getRemoteConnectionHistoricalReports", Scoped("PerformanceReports/Read")),
    ("reports.getTotalAggregatedRemoteConnectionReports", Scoped("PerformanceReports/Read")),
    ("reports.retrieveBulkActionStatusReport", Unscoped("ActionStatus/Read")),
    ("reports.retrieveCloudPcPerformanceMetricsReport", Scoped("PerformanceReports/Read")),
    ("reports.retrieveCloudPcRecommendationReports", Scoped("DeviceRecommendation/Read")),
    ("reports.retrieveCloudPcTenantMetricsReport", Scoped("PerformanceReports/Read")),
    ("reports.retrieveCloudPcTroubleshootReports", Scoped("PerformanceReports/Read")),
    ("reports.retrieveConnectionQualityReports", Scoped("PerformanceReports/Read")),
    ("reports.retrieveCrossRegionDisasterRecoveryReport", Scoped("CrossRegionDisasterRecovery/Read")),
    ("reports.retrieveFrontlineReports", Scoped("FrontlineReports/Read")),
    ("webhook.replay", Scoped("Webhooks/Update")),
    ("webhook.rotateSigningKey", Scoped("Webhooks/Update")),
    ("rbacApplicationMultiple.get", Scoped("Roles/Read")),
    ("unifiedRbacResourceNamespace.list", Scoped("Roles/Read")),
    ("unifiedRbacResourceNamespace.count", Scoped("Roles/Read")),
    ("unifiedRbacResourceNamespace.get", Scoped("Roles/Read")),
    ("unifiedRbacResourceAction.list", Scoped("Roles/Read")),
    ("unifiedRbacResourceAction.count", Scoped("Roles/Read")),
    ("unifiedRbacResourceAction.get", Scoped("Roles/Read")),
    ("resourceScope.get", Scoped("Roles/Read")),
    ("authenticationContext.get", Scoped("Roles/Read")),
    ("roleDefinition.get", Scoped("Roles/Read")),
    ("roleDefinitions.assignedPrincipals", Scoped("RoleAssignments/Read")),
    ("inheritsPermissionsFrom.list", Scoped("Roles/Read")),
    ("inheritsPermissionsFrom.count", Scoped("Roles/Read")),
    ("inheritsPermissionsFrom.get", Scoped("Roles/Read")),
    ("inheritsPermissionsFrom.assignedPrincipals", Scoped("RoleAssignments/Read")),
    ("appScope.list", Scoped("RoleAssignments/Read")),
    ("appScope.count", Scoped("RoleAssignments/Read")),
    ("appScope.get", Scoped("RoleAssignments/Read")),
    ("directoryScopes.list", Scoped("RoleAssignments/Read")),
    ("directoryScopes.count", Scoped("RoleAssignments/Read")),
    ("directoryScopes.get", Scoped("RoleAssignments/Read")),
    ("principals.list", Scoped("RoleAssignments/Read")),
    ("principals.count", Scoped("RoleAssignments/Read")),
    ("principals.get", Scoped("RoleAssignments/Read")),
    ("virtualEndpoint.getEffectivePermissions", Exempt(OWN)),
    ("virtualEndpoint.retrieveScopedPermissions", Exempt(OWN)),
    ("users.list", Exempt(DIRECTORY)),
    ("users.count", Exempt(DIRECTORY)),
    ("users.delta", Exempt(DIRECTORY)),
    ("users.get", Exempt(DIRECTORY)),
    ("users.create", Exempt(DIRECTORY)),
    ("users.update", Exempt(DIRECTORY)),
    ("users.delete", Exempt(DIRECTORY)),
    ("users.assignLicense", Exempt(DIRECTORY)),
    ("licenseDetails.list", Exempt(DIRECTORY)),
    ("memberOf.list", Exempt(DIRECTORY)),
    ("groups.list", Exempt(DIRECTORY)),
    ("groups.count", Exempt(DIRECTORY)),
    ("groups.delta", Exempt(DIRECTORY)),
    ("groups.get", Exempt(DIRECTORY)),
    ("groups.create", Exempt(DIRECTORY)),
    ("groups.update", Exempt(DIRECTORY)),
    ("groups.delete", Exempt(DIRECTORY)),
    ("groups.assignLicense", Exempt(DIRECTORY)),
    ("members.list", Exempt(DIRECTORY)),
    ("members.count", Exempt(DIRECTORY)),
    ("members.create", Exempt(DIRECTORY)),
    ("members.delete", Exempt(DIRECTORY)),
    ("subscribedSku.list", Exempt(DIRECTORY)),
    ("subscribedSku.get", Exempt(DIRECTORY)),
];

static REQUIREMENTS: LazyLock<HashMap<&'static str, Requirement>> = LazyLock::new(|| {
    let own = OPERATIONS.iter().map(|(key, row)| {
        let requirement = match row {
            Scoped(action) => Requirement::Scoped(format!("{NAMESPACE}/{action}")),
            Unscoped(action) => Requirement::Unscoped(format!("{NAMESPACE}/{action}")),
            Exempt(reason) => Requirement::Exempt(reason),
        };
        (*key, requirement)
    });
    own.chain(documents::keys().map(|(key, binding)| (key, of_document(binding)))).collect()
});

/// Returns what an operation requires; none for one that this table lacks, which is a bug and
/// refused to everyone but administrators.
pub fn requirement(key: &str) -> Option<&'static Requirement> {
    REQUIREMENTS.get(key)
}

fn of_document(Binding { kind, verb }: Binding) -> Requirement {
    if std::ptr::eq(kind.access(verb), &raw const ADMINISTER) {
        return Requirement::Exempt(INSTALLATION);
    }
    if kind.of == DocumentType::CloudPcExportJob {
        // The report of a job requires its own action, too.
        return Requirement::Unscoped(format!("{NAMESPACE}/PerformanceReports/Read"));
    }
    let resource = kind.rights.resource;
    let is_child = matches!(kind.shape, DocumentShape::Within(_));
    let action = match verb {
        Verb::List | Verb::Count | Verb::Get => "Read",
        // What is within a policy or user setting are its assignments.
        _ if is_child => "Assign",
        // Microsoft has one action for all writes of these.
        Verb::Create | Verb::Delete if matches!(resource, "CloudApps" | "OrganizationSettings") => "Update",
        Verb::Create => "Create",
        // Microsoft has no action for the update of an image.
        Verb::Update if kind.of == DocumentType::CloudPcDeviceImage => "Create",
        Verb::Update => "Update",
        Verb::Delete => "Delete",
        Verb::Assign => "Assign",
    };
    let action = format!("{NAMESPACE}/{resource}/{action}");
    let is_role = matches!(kind.of, DocumentType::UnifiedRoleDefinition | DocumentType::UnifiedRoleAssignmentMultiple);
    if is_role && !matches!(verb, Verb::List | Verb::Count | Verb::Get) {
        return Requirement::Unscoped(action);
    }
    Requirement::Scoped(action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::ALL;
    use crate::rbac::catalog;

    #[test]
    fn every_operation_has_a_resource_action_or_a_reason_for_none() {
        let missing: Vec<_> = ALL.keys().filter(|key| requirement(key).is_none()).collect();
        assert_eq!(missing, Vec::<&&str>::new(), "add them to OPERATIONS in rbac/requirement.rs");
        let unknown: Vec<_> = OPERATIONS.iter().map(|(key, _)| *key).filter(|key| !ALL.contains_key(key)).collect();
        assert_eq!(unknown, Vec::<&str>::new(), "no such operations");
    }

    #[test]
    fn every_required_action_can_be_granted() {
        for (key, requirement) in &*REQUIREMENTS {
            match requirement {
                Requirement::Scoped(action) | Requirement::Unscoped(action) => {
                    assert!(catalog::contains(action), "{key}: {action}");
                }
                Requirement::Exempt(reason) => assert!(reason.ends_with('.'), "{key}"),
            }
        }
    }
}
