//! The operations: one file each, registered in [`TABLE`].
//!
//! A row holds the operation's key in the contract, the required access and the handler. The
//! pipeline answers 501 for an operation of the contract without a row.

mod action;
mod activity;
mod assigned_user;
mod audit_event;
mod bulk_action;
mod cloud_app;
mod cloud_pc;
mod device_image;
mod external_partner_setting;
mod group;
mod group_member;
mod license;
mod managed_device;
mod on_premises_connection;
mod partner;
mod provisioning_policy;
pub(crate) mod report;
mod role_management;
mod snapshot;
mod subscribed_sku;
pub(crate) mod user;
mod user_settings_persistence;
mod virtual_endpoint;
mod webhook;

use cloudpc_graph::body::Leniency;
use cloudpc_graph::edm::ResponseShape;
use cloudpc_graph::{Operation, OperationKind};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use crate::documents;
use crate::pipeline::{
    ADMINISTER, Access, Answer, CONFIGURE_AGENT, Call, DEPLOY_AGENT, LICENSE_GROUPS, LICENSE_USERS, Problem, READ,
    READ_ASSIGNMENTS, READ_DEVICES, READ_GROUPS, READ_OF_USER, READ_OWN_ROLES, READ_ROLES, READ_SIGNED_IN, READ_SKUS,
    READ_USER, READ_USERS, WRITE, WRITE_GROUPS, WRITE_MEMBERS, WRITE_SIGNED_IN, WRITE_USERS,
};

pub use bulk_action::BULK_NAME_CHARS_MAX;
pub use cloud_app::CLOUD_APPS_PUBLISHED_MAX;
pub use cloud_pc::VALIDATE_CLOUD_PC_IDS_MAX;
pub(crate) use cloud_pc::is_restricted;
pub(crate) use cloud_pc::{is_of, owner};
pub use group::{GROUPS_MAX, REFERENCES_MAX};
pub use group_member::GROUP_MEMBERS_MAX;
pub use provisioning_policy::APPLY_CLOUD_PC_IDS_MAX;
pub use user::USERS_MAX;

/// The future of a handler.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// A registered operation.
pub struct Row {
    /// The operation's key in the contract.
    pub key: &'static str,
    /// The permissions it requires.
    pub access: &'static Access,
    /// The function that carries it out.
    pub handler: fn(Arc<Call>) -> HandlerFuture,
}

/// Writes of Graph's contract that nobody may make: only the service writes what they would, and no
/// client is known to call them. They are answered with 405.
pub static SHUT: &[&str] = &[
    "cloudPC.create",
    "cloudPC.update",
    "cloudPC.delete",
    "cloudPcAuditEvent.create",
    "cloudPcBulkAction.update",
    "cloudPcBulkAction.delete",
    "cloudPcAuditEvent.update",
    "cloudPcAuditEvent.delete",
    "cloudPcSnapshot.create",
    "cloudPcSnapshot.update",
    "cloudPcExternalPartnerSetting.delete",
    "cloudPcUserProfileSnapshot.create",
    "cloudPcUserProfileSnapshot.update",
    "cloudPcUserProfileSnapshot.delete",
    "mailboxSettings.update",
    "report.update",
    "report.delete",
    "reports.update",
    "reports.delete",
    "userSettingsPersistenceDetail.update",
    "userSettingsPersistenceDetail.delete",
    "virtualEndpoint.update",
    "virtualEndpoint.delete",
    "appScope.create",
    "appScope.update",
    "appScope.delete",
    "inheritsPermissionsFrom.create",
    "inheritsPermissionsFrom.update",
    "inheritsPermissionsFrom.delete",
    // Role definitions have no versions to restore.
    "inheritsPermissionsFrom.restore",
    "roleDefinitions.restore",
    "rbacApplicationMultiple.update",
    "rbacApplicationMultiple.delete",
    "resourceScope.update",
    "resourceScope.delete",
    "unifiedRbacResourceAction.create",
    "unifiedRbacResourceAction.update",
    "unifiedRbacResourceAction.delete",
    "unifiedRbacResourceNamespace.create",
    "unifiedRbacResourceNamespace.update",
    "unifiedRbacResourceNamespace.delete",
    "unifiedRbacResourceNamespace.importResourceActions",
];

macro_rules! table {
    ($($key:literal, $access:ident => $run:path;)+) => {
        &[$(Row { key: $key, access: &$access, handler: |call| Box::pin($run(call)) }),+]
    };
}

/// All operations that this server implements.
pub static TABLE: &[Row] = table! {
    "cloudPC.list", READ_SIGNED_IN => cloud_pc::list::run;
    "cloudPC.count", READ_SIGNED_IN => cloud_pc::count::run;
    "cloudPC.delta", READ => cloud_pc::delta::run;
    "cloudPC.get", READ => cloud_pc::get::run;
    "cloudPC.retrieveCloudPcCountByStatus", READ => cloud_pc::count_by_status::run;
    "cloudPC.validateBulkResize", READ => cloud_pc::validate_bulk_resize::run;
    "cloudPC.getProvisionedCloudPCs", READ => cloud_pc::provisioned::run;
    "cloudPC.reprovision", WRITE => cloud_pc::reprovision::run;
    "cloudPC.resize", WRITE => cloud_pc::resize::run;
    "cloudPC.restore", WRITE => cloud_pc::restore::run;
    "cloudPC.changeUserAccountType", WRITE => cloud_pc::change_user_account_type::run;
    "cloudPC.rename", WRITE => cloud_pc::rename::run;
    "cloudPC.reboot", WRITE => cloud_pc::reboot::run;
    "cloudPC.powerOn", WRITE => cloud_pc::power_on::run;
    "cloudPC.powerOff", WRITE => cloud_pc::power_off::run;
    "cloudPC.start", WRITE => cloud_pc::start::run;
    "cloudPC.stop", WRITE => cloud_pc::stop::run;
    "cloudPC.getFrontlineCloudPcAccessState", READ => cloud_pc::frontline_access_state::run;
    "cloudPC.retrieveFrontlineCloudPcDetail", READ => cloud_pc::frontline_detail::run;
    "cloudPC.retryPartnerAgentInstallation", WRITE => cloud_pc::retry_partner_agents::run;
    "cloudPC.setReviewStatus", WRITE => cloud_pc::set_review_status::run;
    "cloudPC.retrieveReviewStatus", READ => cloud_pc::review_status::run;
    "cloudPC.createSnapshot", WRITE => cloud_pc::create_snapshot::run;
    "cloudPC.troubleshoot", WRITE => cloud_pc::troubleshoot::run;
    "cloudPC.endGracePeriod", WRITE => cloud_pc::end_grace_period::run;
    "cloudPC.undo", WRITE => cloud_pc::undo::run;
    "cloudPC.retrieveSnapshots", READ => cloud_pc::snapshots::run;
    "cloudPC.getCloudPcConnectivityHistory", READ => cloud_pc::connectivity_history::run;
    "cloudPC.retrieveCloudPCRemoteActionResults", WRITE => cloud_pc::results::run;
    "cloudPC.getSupportedCloudPcRemoteActions", READ => cloud_pc::supported_actions::run;
    "cloudPC.retrieveCloudPcLaunchDetail", READ_SIGNED_IN => cloud_pc::launch_detail::run;
    "cloudPC.getCloudPcLaunchInfo", READ_SIGNED_IN => cloud_pc::launch_info::run;
    "cloudPC.screenshot", READ_SIGNED_IN => cloud_pc::screenshot::run;
    "cloudPC.actions", READ => action::list::run;
    "action.get", READ => action::get::run;
    "action.cancel", WRITE => action::cancel::run;
    "action.settle", WRITE => action::settle::run;
    "managedDevice.list", READ_DEVICES => managed_device::list::run;
    "managedDevice.count", READ_DEVICES => managed_device::count::run;
    "managedDevice.get", READ_DEVICES => managed_device::get::run;
    "managedDevice.reprovisionCloudPc", WRITE => managed_device::reprovision::run;
    "managedDevice.resizeCloudPc", WRITE => managed_device::resize::run;
    "managedDevice.restoreCloudPc", WRITE => managed_device::restore::run;
    "managedDevice.setCloudPcReviewStatus", WRITE => managed_device::set_review_status::run;
    "managedDevice.getCloudPcReviewStatus", READ => managed_device::review_status::run;
    "managedDevice.setDeviceName", WRITE => managed_device::set_device_name::run;
    "managedDevice.syncDevice", WRITE => managed_device::sync_device::run;
    "managedDevice.getCloudPcRemoteActionResults", READ => managed_device::results::run;
    "managedDevice.bulkReprovisionCloudPc", WRITE => managed_device::bulk_reprovision::run;
    "managedDevice.bulkSetCloudPcReviewStatus", WRITE => managed_device::bulk_set_review_status::run;
    "managedDevice.bulkRestoreCloudPc", WRITE => managed_device::bulk_restore::run;
    "cloudPcBulkAction.list", READ => bulk_action::list::run;
    "cloudPcBulkAction.count", READ => bulk_action::count::run;
    "cloudPcBulkAction.get", READ => bulk_action::get::run;
    "cloudPcBulkAction.create", WRITE => bulk_action::create::run;
    "cloudPcBulkAction.retry", WRITE => bulk_action::retry::run;
    "cloudPcBulkAction.items", READ => bulk_action::items::run;
    "cloudPcSnapshot.list", READ => snapshot::list::run;
    "cloudPcSnapshot.count", READ => snapshot::count::run;
    "cloudPcSnapshot.get", READ => snapshot::get::run;
    "cloudPcSnapshot.delete", WRITE => snapshot::delete::run;
    "cloudPcSnapshot.getSubscriptions", READ => snapshot::storage::run;
    "cloudPcSnapshot.getStorageAccounts", READ => snapshot::storage::run;
    "cloudPcSnapshot.importSnapshot", WRITE => snapshot::import::import;
    "cloudPcSnapshot.retrieveSnapshotImportResults", READ => snapshot::import::results;
    "cloudPcSnapshot.purgeImportedSnapshot", WRITE => snapshot::import::purge;
    "cloudPcAuditEvent.list", READ => audit_event::list::run;
    "cloudPcAuditEvent.count", READ => audit_event::count::run;
    "cloudPcAuditEvent.get", READ => audit_event::get::run;
    "cloudPcExternalPartner.list", READ => partner::list::run;
    "cloudPcExternalPartner.count", READ => partner::count::run;
    "cloudPcExternalPartner.get", READ => partner::get::run;
    "cloudPcExternalPartner.create", WRITE => partner::create::run;
    "cloudPcExternalPartner.update", WRITE => partner::update::run;
    "cloudPcExternalPartner.delete", WRITE => partner::delete::run;
    "cloudPcExternalPartner.configureAgent", CONFIGURE_AGENT => partner::configure_agent::run;
    "cloudPcExternalPartner.deployAgent", DEPLOY_AGENT => partner::deploy_agent::run;
    "cloudPcExternalPartner.retrieveDeployAgentActionResults", READ => partner::results::run;
    "cloudPcExternalPartner.retrieveActionReports", READ => partner::reports::run;
    "cloudPcExternalPartner.heartbeat", WRITE => partner::heartbeat::run;
    "cloudPcExternalPartner.setDetection", CONFIGURE_AGENT => partner::set_detection::run;
    "cloudPcExternalPartner.allowUrls", ADMINISTER => partner::allow_urls::run;
    "cloudPcProvisioningPolicy.apply", WRITE => provisioning_policy::apply::run;
    "cloudPcProvisioningPolicy.applyConfig", WRITE => provisioning_policy::apply_config::run;
    "cloudPcOnPremisesConnection.runHealthChecks", WRITE_SIGNED_IN => on_premises_connection::run_health_checks::run;
    "cloudPcOnPremisesConnection.updateAdDomainPassword", WRITE => on_premises_connection::update_password::run;
    "cloudPcProvisioningPolicy.retry", WRITE => provisioning_policy::retry::run;
    "cloudPcProvisioningPolicy.schedulePolicyApplyTask", WRITE => provisioning_policy::schedule_apply::run;
    "cloudPcProvisioningPolicy.retrievePolicyApplyActionResult", READ => provisioning_policy::apply_result::run;
    "cloudPcProvisioningPolicy.retrievePolicyApplySchedule", READ => provisioning_policy::apply_schedule::run;
    "cloudPcProvisioningPolicy.retrievePolicyUpdateStatusResult", READ => provisioning_policy::update_status::run;
    "cloudPcDeviceImage.getSourceImages", READ => device_image::source_images::run;
    "cloudPcDeviceImage.retryUpload", WRITE => device_image::retry_upload::run;
    "cloudPcDeviceImage.reupload", WRITE => device_image::reupload::run;
    "activity.actions", READ => activity::actions::run;
    "activity.cancel", WRITE => activity::cancel::run;
    "report.retrieveCloudPcClientAppUsageReport", READ => report::run;
    "report.retrieveCloudPcRecommendationReports", READ => report::run;
    "reports.getActionStatusReports", READ => report::run;
    "reports.getCloudPcPerformanceReport", READ => report::run;
    "reports.getCloudPcRecommendationReports", READ => report::run;
    "reports.getConnectionQualityReports", READ => report::run;
    "reports.getDailyAggregatedRemoteConnectionReports", READ => report::run;
    "reports.getFrontlineReport", READ => report::run;
    "reports.getInaccessibleCloudPcReports", READ => report::run;
    "reports.getRawRemoteConnectionReports", READ => report::run;
    "reports.getRealTimeRemoteConnectionLatency", READ => report::real_time_latency::run;
    "reports.getRealTimeRemoteConnectionStatus", READ => report::real_time_status::run;
    "reports.getRemoteConnectionHistoricalReports", READ => report::run;
    "reports.getTotalAggregatedRemoteConnectionReports", READ => report::run;
    "reports.retrieveBulkActionStatusReport", READ => report::run;
    "reports.retrieveCloudPcPerformanceMetricsReport", READ => report::run;
    "reports.retrieveCloudPcRecommendationReports", READ => report::run;
    "reports.retrieveCloudPcTenantMetricsReport", READ => report::run;
    "reports.retrieveCloudPcTroubleshootReports", READ => report::run;
    "reports.retrieveConnectionQualityReports", READ => report::run;
    "reports.retrieveCrossRegionDisasterRecoveryReport", READ => report::run;
    "reports.retrieveFrontlineReports", READ => report::run;
    "cloudPcAuditEvent.getAuditActivityTypes", READ => audit_event::activity_types::run;
    "cloudPcCloudApp.publish", WRITE => cloud_app::publish::run;
    "cloudPcCloudApp.unpublish", WRITE => cloud_app::unpublish::run;
    "cloudPcCloudApp.reset", WRITE => cloud_app::reset::run;
    "cloudPcCloudApp.retrieveDiscoveredApps", READ => cloud_app::discovered_apps::run;
    "cloudPcExternalPartnerSetting.list", READ => external_partner_setting::list::run;
    "cloudPcExternalPartnerSetting.count", READ => external_partner_setting::list::count;
    "cloudPcExternalPartnerSetting.get", READ => external_partner_setting::get::run;
    "cloudPcExternalPartnerSetting.create", WRITE => external_partner_setting::create::run;
    "cloudPcExternalPartnerSetting.update", WRITE => external_partner_setting::update::run;
    "virtualEndpoint.get", READ => virtual_endpoint::get::run;
    "reports.get", READ => virtual_endpoint::get::run;
    "report.get", READ => virtual_endpoint::get::run;
    "virtualEndpoint.organizationAction", WRITE_SIGNED_IN => virtual_endpoint::organization_action::run;
    "virtualEndpoint.retrieveOrganizationActionDetail", READ => virtual_endpoint::organization_action::retrieve;
    "virtualEndpoint.retrieveTenantEncryptionSetting", READ => virtual_endpoint::encryption_setting::run;
    "userSettingsPersistenceDetail.get", READ => user_settings_persistence::get::run;
    "userSettingsPersistenceDetail.retrieveUserSettingsPersistenceProfiles", READ =>
        user_settings_persistence::profiles::run;
    "userSettingsPersistenceDetail.retrieveUserSettingsPersistenceProfileUsage", READ =>
        user_settings_persistence::profile_usage::run;
    "userSettingsPersistenceDetail.batchCleanupUserSettingsPersistenceProfile", WRITE =>
        user_settings_persistence::batch_cleanup::run;
    "userSettingsPersistenceDetail.bulkCreateUserProfileSnapshot", WRITE => user_settings_persistence::bulk::create;
    "userSettingsPersistenceDetail.bulkExportUserProfileSnapshot", WRITE => user_settings_persistence::bulk::export;
    "cloudPcUserProfileSnapshot.list", READ => user_settings_persistence::snapshot::list;
    "cloudPcUserProfileSnapshot.count", READ => user_settings_persistence::snapshot::count;
    "cloudPcUserProfileSnapshot.get", READ => user_settings_persistence::snapshot::get;
    "cloudPcUserProfileSnapshot.restore", WRITE => user_settings_persistence::snapshot::restore;
    "mailboxSettings.get", READ => assigned_user::mailbox_settings::run;
    "serviceProvisioningError.list", READ => assigned_user::service_provisioning_errors::run;
    "serviceProvisioningError.count", READ => assigned_user::service_provisioning_errors::count;
    "virtualEndpoint.getEffectivePermissions", READ_OWN_ROLES => role_management::permissions::effective;
    "virtualEndpoint.retrieveScopedPermissions", READ_OWN_ROLES => role_management::permissions::scoped;
    "rbacApplicationMultiple.get", READ_ROLES => role_management::application::get;
    "unifiedRbacResourceNamespace.list", READ_ROLES => role_management::resource_namespace::list;
    "unifiedRbacResourceNamespace.count", READ_ROLES => role_management::resource_namespace::count;
    "unifiedRbacResourceNamespace.get", READ_ROLES => role_management::resource_namespace::get;
    "unifiedRbacResourceAction.list", READ_ROLES => role_management::resource_action::list;
    "unifiedRbacResourceAction.count", READ_ROLES => role_management::resource_action::count;
    "unifiedRbacResourceAction.get", READ_ROLES => role_management::resource_action::get;
    "resourceScope.get", READ_ROLES => role_management::resource_action::scope;
    "authenticationContext.get", READ_ROLES => role_management::resource_action::authentication_context;
    "roleDefinition.get", READ_ASSIGNMENTS => role_management::role_definition::get;
    "roleDefinitions.assignedPrincipals", READ_ASSIGNMENTS => role_management::role_definition::assigned_principals;
    "inheritsPermissionsFrom.list", READ_ROLES => role_management::inherited_role::list;
    "inheritsPermissionsFrom.count", READ_ROLES => role_management::inherited_role::count;
    "inheritsPermissionsFrom.get", READ_ROLES => role_management::inherited_role::get;
    "inheritsPermissionsFrom.assignedPrincipals", READ_ASSIGNMENTS => role_management::inherited_role::get;
    "appScope.list", READ_ASSIGNMENTS => role_management::app_scope::list;
    "appScope.count", READ_ASSIGNMENTS => role_management::app_scope::count;
    "appScope.get", READ_ASSIGNMENTS => role_management::app_scope::get;
    "directoryScopes.list", READ_ASSIGNMENTS => role_management::directory_scope::list;
    "directoryScopes.count", READ_ASSIGNMENTS => role_management::directory_scope::count;
    "directoryScopes.get", READ_ASSIGNMENTS => role_management::directory_scope::get;
    "principals.list", READ_ASSIGNMENTS => role_management::principal::list;
    "principals.count", READ_ASSIGNMENTS => role_management::principal::count;
    "principals.get", READ_ASSIGNMENTS => role_management::principal::get;
    "webhook.replay", WRITE => webhook::replay::run;
    "webhook.rotateSigningKey", WRITE => webhook::rotate_signing_key::run;
    "users.list", READ_USERS => user::list::run;
    "users.count", READ_USERS => user::count::run;
    "users.delta", READ_USERS => user::delta::run;
    "users.get", READ_USER => user::get::run;
    "users.create", WRITE_USERS => user::create::run;
    "users.update", WRITE_USERS => user::update::run;
    "users.delete", WRITE_USERS => user::delete::run;
    "users.assignLicense", LICENSE_USERS => user::assign_license::run;
    "licenseDetails.list", READ_OF_USER => user::license_details::run;
    "memberOf.list", READ_OF_USER => user::member_of::run;
    "groups.list", READ_GROUPS => group::list::run;
    "groups.count", READ_GROUPS => group::count::run;
    "groups.delta", READ_GROUPS => group::delta::run;
    "groups.get", READ_GROUPS => group::get::run;
    "groups.create", WRITE_GROUPS => group::create::run;
    "groups.update", WRITE_GROUPS => group::update::run;
    "groups.delete", WRITE_GROUPS => group::delete::run;
    "groups.assignLicense", LICENSE_GROUPS => group::assign_license::run;
    "members.list", READ_GROUPS => group_member::list::run;
    "members.count", READ_GROUPS => group_member::count::run;
    "members.create", WRITE_MEMBERS => group_member::create::run;
    "members.delete", WRITE_MEMBERS => group_member::delete::run;
    "subscribedSku.list", READ_SKUS => subscribed_sku::list::run;
    "subscribedSku.get", READ_SKUS => subscribed_sku::get::run;
    "assignedUsers.list", READ => assigned_user::list::run;
    "assignedUsers.count", READ => assigned_user::count::run;
    "assignedUsers.get", READ => assigned_user::get::run;
};

/// Every operation, with those that documents carry out.
pub static ALL: LazyLock<HashMap<&str, Row>> = LazyLock::new(|| {
    let own = TABLE.iter().map(|row| (row.key, Row { ..*row }));
    let document = |(key, documents::Binding { kind, verb })| {
        (key, Row { key, access: kind.access(verb), handler: documents::answer })
    };
    own.chain(documents::keys().map(document)).collect()
});

/// What bodies of an operation may have although the contract does not say so.
pub(crate) fn leniency(key: &str) -> Leniency {
    match key {
        "groups.create" | "groups.update" => group::leniency(),
        "cloudPcProvisioningPolicy.schedulePolicyApplyTask" => provisioning_policy::leniency(),
        _ => Leniency::default(),
    }
}

/// Returns the status of a successful answer with a body, or of one that never has a body.
pub(crate) fn success_status(operation: &Operation) -> u16 {
    let is_create = match documents::binding(&operation.key) {
        Some(binding) => binding.verb == documents::Verb::Create,
        None => operation.kind == OperationKind::Create,
    };
    match (operation.key.as_str(), &operation.response) {
        ("cloudPcBulkAction.retry" | "groups.assignLicense", _) => 202,
        (_, ResponseShape::None) => 204,
        _ if is_create => 201,
        _ => 200,
    }
}

/// Returns the row of an operation, if this server implements it.
pub fn row(key: &str) -> Option<&'static Row> {
    ALL.get(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_graph::{Edm, Version};

    #[test]
    fn rows_are_unique_operations_of_the_contract() {
        let known =
            |key| [Version::V1, Version::Beta].iter().any(|v| Edm::of(*v).operations.iter().any(|o| o.key == key));
        let unknown: Vec<_> = TABLE.iter().map(|row| row.key).filter(|key| !known(*key)).collect();
        assert_eq!(unknown, Vec::<&str>::new());
        let mut keys: Vec<_> = TABLE.iter().map(|row| row.key).chain(documents::keys().map(|(key, _)| key)).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
