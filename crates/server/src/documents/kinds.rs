//! The kinds of documents, each a descriptor.

mod alert_rule;
pub(crate) mod cloud_app;
mod cloud_pc_pool;
mod cross_cloud_mapping;
pub(crate) mod device_image;
mod export_job;
mod front_line_service_plan;
mod gallery_image;
mod maintenance_window;
mod managed_license;
mod on_premises_connection;
mod organization_settings;
mod provisioning_policy;
pub(crate) mod role_assignment;
mod role_definition;
mod service_plan;
mod setting_profile;
mod supported_region;
mod user_setting;
mod webhook;

pub(crate) use on_premises_connection::retry_health_checks;
pub(super) use provisioning_policy::{ASSIGNMENT as PROVISIONING_POLICY_ASSIGNMENT, PROVISIONING_POLICY};

use super::kind::{DocumentKind, Rights};
use crate::pipeline::{READ, WRITE};

/// Every kind.
pub static KINDS: &[&DocumentKind] = &[
    &alert_rule::ALERT_RECORD,
    &alert_rule::ALERT_RULE,
    &cloud_app::CLOUD_APP,
    &cloud_pc_pool::CLOUD_PC_POOL,
    &cloud_pc_pool::ASSIGNMENT,
    &cross_cloud_mapping::CROSS_CLOUD_MAPPING,
    &device_image::DEVICE_IMAGE,
    &export_job::EXPORT_JOB,
    &front_line_service_plan::FRONT_LINE_SERVICE_PLAN,
    &gallery_image::GALLERY_IMAGE,
    &maintenance_window::MAINTENANCE_WINDOW,
    &maintenance_window::ASSIGNMENT,
    &managed_license::MANAGED_LICENSE,
    &on_premises_connection::ON_PREMISES_CONNECTION,
    &organization_settings::ORGANIZATION_SETTINGS,
    &provisioning_policy::PROVISIONING_POLICY,
    &provisioning_policy::ASSIGNMENT,
    &role_assignment::ROLE_ASSIGNMENT,
    &role_definition::ROLE_DEFINITION,
    &service_plan::SERVICE_PLAN,
    &setting_profile::SETTING_PROFILE,
    &setting_profile::ASSIGNMENT,
    &supported_region::SUPPORTED_REGION,
    &user_setting::USER_SETTING,
    &user_setting::ASSIGNMENT,
    &webhook::WEBHOOK,
];

/// Readers read, writers write.
const fn rights(resource: &'static str) -> Rights {
    Rights { resource, read: &READ, write: &WRITE }
}
