//! `assignLicense` of users and groups.

use cloudpc_graph::GraphError;
use cloudpc_model::{AuditEntry, AuditVerb, SkuId};
use cloudpc_store::{LicenseHolder, NoUnitsLeft, Tx};
use serde_json::Value;
use std::collections::BTreeSet;

use crate::pipeline::{Call, Problem, required};

const ADD: &str = "addLicenses";
const REMOVE: &str = "removeLicenses";

/// The licences that a request adds and removes.
pub(super) struct LicenseChange {
    add: BTreeSet<SkuId>,
    remove: BTreeSet<SkuId>,
}

impl LicenseChange {
    /// Reads the body.
    pub(super) fn of(call: &Call) -> Result<Self, Problem> {
        let list = |name: &str| call.body.get(name).and_then(Value::as_array).ok_or_else(|| required(name));
        let mut add = BTreeSet::new();
        for license in list(ADD)? {
            if license.get("disabledPlans").and_then(Value::as_array).is_some_and(|plans| !plans.is_empty()) {
                let message = "'disabledPlans' must be empty: a subscription here has one service plan.";
                return Err(GraphError::bad_request(message).about(ADD).into());
            }
            add.insert(sku(license.get("skuId"), ADD)?);
        }
        let remove = list(REMOVE)?.iter().map(|id| sku(Some(id), REMOVE)).collect::<Result<BTreeSet<_>, _>>()?;
        if let Some(both) = add.intersection(&remove).next() {
            let message = format!("The licence '{both}' is both added and removed. Decide on one.");
            return Err(GraphError::bad_request(message).about(REMOVE).into());
        }
        Ok(Self { add, remove })
    }

    /// Changes the licences of a user or group. Those that are removed are free for those that are
    /// added.
    pub(super) fn apply(
        &self,
        tx: &mut Tx<'_>,
        call: &Call,
        holder: LicenseHolder,
        entry: &dyn Fn(AuditVerb) -> AuditEntry,
    ) -> Result<(), Problem> {
        let tenant = call.tenant();
        let before = tx.license_assignments(tenant, holder)?;
        for sku in &self.remove {
            if !tx.license_unassign(tenant, *sku, holder, call.at)? {
                let what = match holder {
                    LicenseHolder::User(_) => "User",
                    LicenseHolder::Group(_) => "Group",
                };
                let message =
                    format!("{what} does not have a corresponding license: '{sku}' is not assigned directly.");
                return Err(GraphError::bad_request(message).about(REMOVE).into());
            }
        }
        for sku in &self.add {
            if tx.subscription(tenant, *sku)?.is_none() {
                let message = format!("License '{sku}' does not correspond to a subscription of this tenant.");
                return Err(GraphError::bad_request(message).about(ADD).into());
            }
            tx.license_assign(tenant, *sku, holder, call.at)?.map_err(|NoUnitsLeft| {
                let message = format!("Subscription with SKU {sku} does not have any available licenses.");
                GraphError::bad_request(message).about(ADD)
            })?;
        }
        let after = tx.license_assignments(tenant, holder)?;
        if after != before {
            let entry = entry(AuditVerb::Update).changed("assignedLicenses", Some(&names(&before)), &names(&after));
            tx.audit_insert(&entry)?;
        }
        Ok(())
    }
}

fn sku(id: Option<&Value>, property: &str) -> Result<SkuId, GraphError> {
    let text = id.and_then(Value::as_str).ok_or_else(|| required("skuId"))?;
    text.parse().map_err(|_| GraphError::bad_request(format!("'{text}' is not a SKU id.")).about(property))
}

fn names(skus: &[SkuId]) -> String {
    skus.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
