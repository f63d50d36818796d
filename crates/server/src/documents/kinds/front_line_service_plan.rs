//! `cloudPcFrontLineServicePlan`: the service plans of frontline subscriptions, with the number of
//! their licences.

use std::collections::BTreeMap;

use cloudpc_model::{DocumentType, Object, Product, ServicePlanId, TenantId};
use cloudpc_store::{Reader, StoreError};
use serde_json::{Value, json};

use super::rights;
use crate::documents::kind::{DOCUMENTS_MAX, DocumentKind, READ_ONLY, Rights};

static RIGHTS: Rights = rights("FrontLineServicePlans");

/// `cloudPcFrontLineServicePlan`
pub(super) static FRONT_LINE_SERVICE_PLAN: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcFrontLineServicePlan,
    "/deviceManagement/virtualEndpoint/frontLineServicePlans",
    &RIGHTS,
    READ_ONLY,
    &[],
)
.derived(plans);

/// The plans of a tenant's frontline subscriptions. The id is that of the service plan, because
/// assignments of policies name it.
fn plans(reader: &Reader<'_>, tenant: TenantId) -> Result<Vec<(String, Object)>, StoreError> {
    let mut licenses = BTreeMap::<ServicePlanId, u64>::new();
    for subscription in reader.subscription_list(tenant)? {
        *licenses.entry(subscription.service_plan_id).or_default() += u64::from(subscription.units);
    }
    let mut allotted = allotments(reader, tenant)?;
    let mut plans = Vec::new();
    for (id, total) in licenses {
        let Some(plan) = reader.service_plan(tenant, id)?.filter(|plan| plan.product == Product::Frontline) else {
            continue;
        };
        let used = reader.frontline_activation_count(tenant, id)?;
        let body = json!({
            "displayName": plan.display_name,
            "totalCount": total,
            "usedCount": used,
            "allotmentLicensesCount": allotted.remove(&id).unwrap_or_default(),
        });
        if let Value::Object(body) = body {
            plans.push((id.to_string(), body));
        }
    }
    Ok(plans)
}

/// The licences of each plan that assignments of policies have set aside.
pub(super) fn allotments(reader: &Reader<'_>, tenant: TenantId) -> Result<BTreeMap<ServicePlanId, u64>, StoreError> {
    let most = usize::try_from(DOCUMENTS_MAX).unwrap_or(usize::MAX);
    let policies = reader.document_list(tenant, DocumentType::CloudPcProvisioningPolicy, "", None, most)?;
    let ids: Vec<_> = policies.iter().map(|policy| policy.key.id.as_str()).collect();
    let kind = DocumentType::CloudPcProvisioningPolicyAssignment;
    let mut allotted = BTreeMap::new();
    for assignment in reader.document_children(tenant, kind, &ids, usize::MAX)? {
        let Some(target) = assignment.body.get("target") else { continue };
        let plan = target["servicePlanId"].as_str().and_then(|id| id.parse().ok());
        if let (Some(plan), Some(count)) = (plan, target["allotmentLicensesCount"].as_u64()) {
            *allotted.entry(plan).or_default() += count;
        }
    }
    Ok(allotted)
}
