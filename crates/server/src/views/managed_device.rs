//! `managedDevice`: a Cloud PC in device management. Unknown properties are omitted, or null if
//! `$select` names them. Where the contract forbids null, they have the value that Intune sends for
//! a device that has not reported them.

use cloudpc_graph::Version;
use cloudpc_model::{Action, CloudPc, ManagedDeviceId, UserId};
use cloudpc_store::{ListValue, cloud_pc_columns as column};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::catalog::Catalog;
use super::remote_action::{RemoteActionResult, result};
use super::{Shown, Time, none_if_empty};
use crate::pipeline::list::ListProperty;

/// A managed device with the data that its view needs.
#[derive(Debug)]
pub struct ManagedDeviceRow {
    /// The Cloud PC.
    pub cloud_pc: CloudPc,
    /// The remote actions, newest first, if the request uses them.
    pub actions: Option<Vec<Action>>,
}

/// `managedDevice`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedDeviceView<'a> {
    id: Shown<ManagedDeviceId>,
    user_id: Option<Shown<UserId>>,
    device_name: &'a str,
    managed_device_name: &'a str,
    managed_device_owner_type: &'static str,
    enrolled_date_time: Time,
    last_sync_date_time: Time,
    operating_system: &'static str,
    os_version: Option<&'a str>,
    compliance_state: &'static str,
    management_agent: &'static str,
    device_enrollment_type: &'static str,
    device_registration_state: &'static str,
    #[serde(rename = "azureADRegistered")]
    azure_ad_registered: bool,
    #[serde(rename = "azureADDeviceId")]
    azure_ad_device_id: Shown<Uuid>,
    email_address: Option<&'a str>,
    user_principal_name: Option<&'a str>,
    model: String,
    manufacturer: &'static str,
    is_encrypted: bool,
    total_storage_space_in_bytes: u64,
    physical_memory_in_bytes: u64,
    management_state: &'static str,
    #[serde(flatten)]
    unreported: Unreported,
    #[serde(flatten)]
    beta: Option<Beta<'a>>,
}

/// Properties that the service does not know but the contract requires.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Unreported {
    compliance_grace_period_expiration_date_time: &'static str,
    eas_activated: bool,
    eas_activation_date_time: &'static str,
    exchange_access_state: &'static str,
    exchange_access_state_reason: &'static str,
    exchange_last_successful_sync_date_time: &'static str,
    free_storage_space_in_bytes: u64,
    is_supervised: bool,
    management_certificate_expiration_date: &'static str,
    partner_reported_threat_state: &'static str,
}

/// Graph's representation of a missing time.
const NEVER: &str = "0001-01-01T00:00:00Z";

const UNREPORTED: Unreported = Unreported {
    compliance_grace_period_expiration_date_time: NEVER,
    eas_activated: false,
    eas_activation_date_time: NEVER,
    exchange_access_state: "none",
    exchange_access_state_reason: "none",
    exchange_last_successful_sync_date_time: NEVER,
    free_storage_space_in_bytes: 0,
    is_supervised: false,
    management_certificate_expiration_date: NEVER,
    partner_reported_threat_state: "unknown",
};

/// The properties that beta adds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Beta<'a> {
    azure_active_directory_device_id: Shown<Uuid>,
    device_type: &'static str,
    join_type: &'static str,
    processor_architecture: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_pc_remote_action_results: Option<Vec<RemoteActionResult<'a>>>,
}

const OPERATING_SYSTEM: &str = "Windows";
/// Clients recognise Cloud PCs by the values of `model` and `manufacturer`.
const MANUFACTURER: &str = "Microsoft Corporation";

const GIB: u64 = 1 << 30;

/// Returns the view of a managed device.
pub fn managed_device<'a>(row: &'a ManagedDeviceRow, catalog: &'a Catalog, version: Version) -> ManagedDeviceView<'a> {
    let cloud_pc = &row.cloud_pc;
    let plan = catalog.plan(cloud_pc.service_plan_id);
    ManagedDeviceView {
        id: Shown(cloud_pc.managed_device_id),
        user_id: cloud_pc.user_id.map(Shown),
        device_name: &cloud_pc.managed_device_name,
        managed_device_name: &cloud_pc.managed_device_name,
        managed_device_owner_type: "company",
        enrolled_date_time: Time(cloud_pc.provisioned_at.unwrap_or(cloud_pc.created_at)),
        last_sync_date_time: Time(cloud_pc.modified_at),
        operating_system: OPERATING_SYSTEM,
        os_version: None,
        compliance_state: "unknown",
        management_agent: "mdm",
        device_enrollment_type: "windowsAzureADJoin",
        device_registration_state: "registered",
        azure_ad_registered: true,
        azure_ad_device_id: Shown(cloud_pc.aad_device_id),
        email_address: none_if_empty(&cloud_pc.user_principal_name),
        user_principal_name: none_if_empty(&cloud_pc.user_principal_name),
        model: model(plan.map_or("", |plan| &plan.display_name)),
        manufacturer: MANUFACTURER,
        is_encrypted: false,
        total_storage_space_in_bytes: plan.map_or(0, |plan| u64::from(plan.storage_gib) * GIB),
        physical_memory_in_bytes: plan.map_or(0, |plan| u64::from(plan.ram_gib) * GIB),
        management_state: "managed",
        unreported: UNREPORTED,
        beta: (version == Version::Beta).then(|| beta(row)),
    }
}

/// Returns how the store holds a property that a filter names; none if it cannot select by it.
pub fn property(path: &str, catalog: &Catalog) -> Option<ListProperty> {
    Some(match path {
        "id" => ListProperty::Guid(column::MANAGED_DEVICE_ID),
        "userId" => ListProperty::Guid(column::USER_ID),
        "deviceName" | "managedDeviceName" => ListProperty::text(column::MANAGED_DEVICE_NAME),
        "azureADDeviceId" => ListProperty::Guid(column::AAD_DEVICE_ID),
        "emailAddress" | "userPrincipalName" => {
            ListProperty::AnyCase { column: column::USER_PRINCIPAL_NAME, nullable: true }
        }
        "lastSyncDateTime" => ListProperty::Time { column: column::MODIFIED_AT, nullable: false },
        "operatingSystem" => ListProperty::Constant(json!(OPERATING_SYSTEM)),
        "manufacturer" => ListProperty::Constant(json!(MANUFACTURER)),
        "model" => ListProperty::Choice {
            column: column::SERVICE_PLAN_ID,
            shown: catalog.plans().map(|plan| (ListValue::Guid(plan.id.0), json!(model(&plan.display_name)))).collect(),
            others: json!(model("")),
        },
        _ => return None,
    })
}

fn model(plan: &str) -> String {
    if plan.starts_with("Cloud PC") { plan.to_owned() } else { format!("Cloud PC {plan}").trim_end().to_owned() }
}

fn beta(row: &ManagedDeviceRow) -> Beta<'_> {
    let cloud_pc = &row.cloud_pc;
    Beta {
        azure_active_directory_device_id: Shown(cloud_pc.aad_device_id),
        device_type: "cloudPC",
        join_type: "azureADJoined",
        processor_architecture: "x64",
        cloud_pc_remote_action_results: row
            .actions
            .as_ref()
            .map(|actions| actions.iter().map(|action| result(action, cloud_pc)).collect()),
    }
}
