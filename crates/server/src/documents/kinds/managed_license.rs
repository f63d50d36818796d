//! `cloudPcManagedLicense`: the subscriptions whose licences are shared by several users.

use cloudpc_engine::assigned_licenses;
use cloudpc_model::{DocumentType, Object, Product, TenantId};
use cloudpc_store::{Reader, StoreError};
use serde_json::{Value, json};

use super::front_line_service_plan::allotments;
use super::rights;
use crate::documents::kind::{DocumentKind, READ_ONLY, Rights};

static RIGHTS: Rights = rights("ManagedLicenses");

/// `cloudPcManagedLicense`
pub(super) static MANAGED_LICENSE: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcManagedLicense,
    "/deviceManagement/virtualEndpoint/managedLicenses",
    &RIGHTS,
    READ_ONLY,
    &[],
)
.derived(licenses);

/// One for each frontline subscription of a tenant, by its product. A subscription here has no
/// dates, and each is in force. Reserve licences are not sold here.
fn licenses(reader: &Reader<'_>, tenant: TenantId) -> Result<Vec<(String, Object)>, StoreError> {
    let mut allotted = allotments(reader, tenant)?;
    let mut licenses = Vec::new();
    for subscription in reader.subscription_list(tenant)? {
        let id = subscription.service_plan_id;
        let Some(plan) = reader.service_plan(tenant, id)?.filter(|plan| plan.product == Product::Frontline) else {
            continue;
        };
        let body = json!({
            "allotmentLicensesCount": allotted.remove(&id).unwrap_or_default(),
            "assignedCount": assigned_licenses(reader, tenant, id)?,
            "displayName": plan.display_name,
            "licenseType": "frontline",
            "licensesCount": subscription.units,
            "servicePlanId": id.to_string(),
            "status": "enabled",
            "subscriptionId": subscription.sku_id.to_string(),
        });
        if let Value::Object(body) = body {
            licenses.push((subscription.sku_id.to_string(), body));
        }
    }
    Ok(licenses)
}
