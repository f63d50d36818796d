//! `cloudPC`

use cloudpc_model::{Action, CloudPc, CloudPcStatus, Power, Product, ProvisioningType};
use serde::Serialize;
use uuid::Uuid;

mod columns;

pub use columns::property;

use super::catalog::Catalog;
use super::remote_action::{RemoteActionResult, result};
use super::{Detail, Shown, Time, late_member, none_if_empty};
use crate::pipeline::list::PropertySet;
use cloudpc_graph::Version;

/// A Cloud PC with the data that its view needs.
#[derive(Debug)]
pub struct CloudPcRow {
    /// The Cloud PC.
    pub cloud_pc: CloudPc,
    /// The latest remote action, if the request uses it.
    pub last_action: Option<Action>,
    /// `frontlineCloudPcAvailability`, if the request uses it.
    pub frontline_availability: Option<&'static str>,
    /// `allotmentDisplayName`: the name that an assignment gives its licences.
    pub allotment_display_name: Option<String>,
}

/// `cloudPC`: the properties of v1.0, then those that beta adds.
#[derive(Debug, Serialize)]
pub struct CloudPcView<'a> {
    #[serde(flatten)]
    v1: V1<'a>,
    #[serde(flatten)]
    beta: Option<Beta<'a>>,
    #[serde(flatten)]
    selectable: Option<Selectable<'a>>,
}

/// The properties of v1.0.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct V1<'a> {
    id: Shown<cloudpc_model::CloudPcId>,
    display_name: &'a str,
    managed_device_id: Shown<cloudpc_model::ManagedDeviceId>,
    managed_device_name: &'a str,
    aad_device_id: Shown<Uuid>,
    user_principal_name: Option<&'a str>,
    image_display_name: Option<&'a str>,
    provisioning_policy_id: Option<&'a str>,
    provisioning_policy_name: Option<&'a str>,
    on_premises_connection_name: Option<&'a str>,
    service_plan_id: Shown<cloudpc_model::ServicePlanId>,
    service_plan_name: Option<&'a str>,
    provisioning_type: &'static str,
    last_modified_date_time: Time,
    grace_period_end_date_time: Option<Time>,
}

/// The properties that beta adds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Beta<'a> {
    status: &'static str,
    status_detail: Option<Detail<'a>>,
    status_details: Option<Detail<'a>>,
    service_plan_type: &'static str,
    product_type: &'static str,
    user_experience_type: &'static str,
    disk_encryption_state: &'static str,
    device_region_name: &'a str,
    provisioned_date_time: Option<Time>,
    partner_agent_install_results: [(); 0],
    allotment_display_name: Option<&'a str>,
    connection_setting: ConnectionSetting,
    connection_settings: ConnectionSetting,
    scope_ids: &'a [String],
    group_detail: Option<&'a str>,
    user_detail: Option<&'a str>,
    shared_device_detail: Option<SharedDeviceDetail<'a>>,
    is_disaster_recovery_active: bool,
}

/// `cloudPcConnectionSetting`, and `cloudPcConnectionSettings`, its older name.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionSetting {
    enable_single_sign_on: bool,
}

/// `cloudPcFrontlineSharedDeviceDetail`: the present session of a shared Cloud PC.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SharedDeviceDetail<'a> {
    assigned_to_user_principal_name: &'a str,
    session_start_date_time: Time,
}

/// The properties that beta sends only if `$select` names them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Selectable<'a> {
    os_version: &'static str,
    user_account_type: &'static str,
    power_state: Option<&'static str>,
    last_remote_action_result: Option<RemoteActionResult<'a>>,
    last_login_result: Option<&'a str>,
    last_logoff_date_time: Option<&'a str>,
    connectivity_result: Option<&'a str>,
    disaster_recovery_capability: Option<&'a str>,
    provisioning_configuration: Option<&'a str>,
    frontline_cloud_pc_availability: Option<&'static str>,
}

/// The API version and preference of the request.
#[derive(Clone, Copy, Debug)]
pub struct CloudPcViewContext {
    /// The API version.
    pub version: Version,
    /// Whether to send the names of enum members declared after `unknownFutureValue`.
    pub unknown_enum_members: bool,
}

/// Returns the view of a Cloud PC.
pub fn cloud_pc<'a>(
    row: &'a CloudPcRow,
    catalog: &'a Catalog,
    context: CloudPcViewContext,
    set: PropertySet,
) -> CloudPcView<'a> {
    let beta = context.version == Version::Beta;
    let unknown_enum_members = context.unknown_enum_members || set == PropertySet::Stored;
    CloudPcView {
        v1: v1(&row.cloud_pc, catalog, beta && unknown_enum_members),
        beta: beta.then(|| self::beta(row, catalog, unknown_enum_members)),
        selectable: (beta && set != PropertySet::Default).then(|| selectable(row)),
    }
}

/// Returns Graph's name of a status.
pub fn status(status: CloudPcStatus, unknown_enum_members: bool) -> &'static str {
    use CloudPcStatus::{Preparing, ResizePendingLicense};
    match status.is_policy_change() || matches!(status, ResizePendingLicense | Preparing) {
        true => late_member(status.into(), unknown_enum_members),
        false => status.into(),
    }
}

fn provisioning_type(provisioning: ProvisioningType, unknown_enum_members: bool) -> &'static str {
    match provisioning {
        ProvisioningType::Dedicated => provisioning.into(),
        ProvisioningType::SharedByUser | ProvisioningType::SharedByEntraGroup => {
            late_member(provisioning.into(), unknown_enum_members)
        }
    }
}

fn service_plan_type(product: Product) -> &'static str {
    match product {
        Product::Enterprise | Product::Frontline => "enterprise",
        Product::Business => "business",
    }
}

fn product_type(product: Product) -> &'static str {
    match product {
        Product::Enterprise => "enterprise",
        Product::Business => "business",
        Product::Frontline => "frontline",
    }
}

fn power_state(power: Power) -> Option<&'static str> {
    match power {
        Power::Running => Some("running"),
        Power::PoweredOff => Some("poweredOff"),
        Power::Unknown => None,
    }
}

fn v1<'a>(cloud_pc: &'a CloudPc, catalog: &'a Catalog, unknown_enum_members: bool) -> V1<'a> {
    V1 {
        id: Shown(cloud_pc.id),
        display_name: &cloud_pc.display_name,
        managed_device_id: Shown(cloud_pc.managed_device_id),
        managed_device_name: &cloud_pc.managed_device_name,
        aad_device_id: Shown(cloud_pc.aad_device_id),
        user_principal_name: none_if_empty(&cloud_pc.user_principal_name),
        image_display_name: catalog.image_name(&cloud_pc.image_id),
        provisioning_policy_id: none_if_empty(&cloud_pc.provisioning_policy_id),
        provisioning_policy_name: none_if_empty(&cloud_pc.provisioning_policy_name),
        on_premises_connection_name: catalog.connection_name(&cloud_pc.on_premises_connection_id),
        service_plan_id: Shown(cloud_pc.service_plan_id),
        service_plan_name: catalog.plan_name(cloud_pc.service_plan_id),
        provisioning_type: provisioning_type(cloud_pc.provisioning_type, unknown_enum_members),
        last_modified_date_time: Time(cloud_pc.modified_at),
        grace_period_end_date_time: cloud_pc.grace_ends_at.map(Time),
    }
}

fn beta<'a>(row: &'a CloudPcRow, catalog: &'a Catalog, unknown_enum_members: bool) -> Beta<'a> {
    let cloud_pc = &row.cloud_pc;
    let connection_setting = ConnectionSetting { enable_single_sign_on: cloud_pc.single_sign_on };
    let detail = cloud_pc.status_detail.as_ref().map(|detail| Detail::new(&detail.code, &detail.message));
    Beta {
        status: status(cloud_pc.status, unknown_enum_members),
        status_detail: detail,
        status_details: detail,
        service_plan_type: service_plan_type(cloud_pc.product),
        product_type: product_type(cloud_pc.product),
        user_experience_type: cloud_pc.user_experience_type.into(),
        disk_encryption_state: "notAvailable",
        device_region_name: &cloud_pc.region,
        provisioned_date_time: cloud_pc.provisioned_at.map(Time),
        partner_agent_install_results: [],
        allotment_display_name: row.allotment_display_name.as_deref(),
        connection_setting,
        connection_settings: connection_setting,
        scope_ids: catalog.scope_tags(cloud_pc),
        group_detail: None,
        user_detail: None,
        shared_device_detail: cloud_pc.session_started_at.map(|started_at| SharedDeviceDetail {
            assigned_to_user_principal_name: &cloud_pc.user_principal_name,
            session_start_date_time: Time(started_at),
        }),
        is_disaster_recovery_active: false,
    }
}

fn selectable(row: &CloudPcRow) -> Selectable<'_> {
    let cloud_pc = &row.cloud_pc;
    Selectable {
        os_version: cloud_pc.os_version.into(),
        user_account_type: cloud_pc.user_account_type.into(),
        power_state: power_state(cloud_pc.power_observed),
        last_remote_action_result: row.last_action.as_ref().map(|action| result(action, cloud_pc)),
        last_login_result: None,
        last_logoff_date_time: None,
        connectivity_result: None,
        disaster_recovery_capability: None,
        provisioning_configuration: None,
        frontline_cloud_pc_availability: row.frontline_availability,
    }
}
