//! Alerts: rules that watch a tenant, and the records of what they found.
//!
//! A rule whose condition holds has one active record, which is resolved when the condition no
//! longer holds, or the rule is disabled or gone. Rules are evaluated by the reconciler, after
//! everything else that is due, so that many changes cost one evaluation.
//!
//! What is watched is the present state: Cloud PCs that are failed or in their grace period, device
//! images whose import failed, connections whose health checks failed. Nothing here is the source
//! of the other conditions that Graph has; they never hold.

use cloudpc_model::{CloudPcStatus, Document, DocumentKey, DocumentType, Object, Rng, SeededRng, TenantId, Timestamp};
use cloudpc_store::{DocumentIndex, Reader, StoreError, Tx};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most alert rules of a tenant.
pub const ALERT_RULES_MAX: u64 = 100;
/// Most alert records of a tenant; the oldest resolved ones are deleted first.
pub const ALERT_RECORDS_MAX: usize = 500;
/// Each rule has at most one active record, so that there is always a resolved one to delete.
const _: () = assert!(ALERT_RECORDS_MAX as u64 > ALERT_RULES_MAX + SYSTEM_RULES.len() as u64);
/// Counting stops here: an impact says at most this number.
pub const ALERT_COUNT_MAX: usize = 10_000;

/// Most device images and connections that are looked at.
const DOCUMENTS_READ_MAX: usize = 1_000;

/// The rules that every tenant has: template, fixed id, name, what it watches and how it counts.
const SYSTEM_RULES: [(&str, &str, &str, &str, &str); 4] = [
    (
        "cloudPcProvisionScenario",
        "215c55cc-b1c9-4d36-a870-be5778101714",
        "Cloud PC provisioning failure",
        "provisionFailures",
        "affectedCloudPcCount",
    ),
    (
        "cloudPcImageUploadScenario",
        "30a2b3c1-7ae3-4ad6-9dbd-0d0b3b8ac5f4",
        "Device image upload failure",
        "imageUploadFailures",
        "count",
    ),
    (
        "cloudPcOnPremiseNetworkConnectionCheckScenario",
        "41e8d8f4-6b04-4a14-a1d4-2d9b4f1c5d02",
        "Azure network connection failure",
        "azureNetworkConnectionCheckFailures",
        "count",
    ),
    (
        "cloudPcInGracePeriodScenario",
        "5d0f5f0a-0c5b-4b0e-8a4d-6f6c0c1f7e11",
        "Cloud PC in grace period",
        "cloudPcInGracePeriod",
        "affectedCloudPcCount",
    ),
];

/// Returns the built-in rules, by id: what each is until somebody changes it.
pub fn system_alert_rules() -> Vec<(String, Object)> {
    let rule = |(template, id, name, category, aggregation): &(&str, &str, &str, &str, &str)| {
        let body = json!({
            "alertRuleTemplate": template,
            "conditions": [{
                "aggregation": aggregation,
                "conditionCategory": category,
                "operator": "greaterOrEqual",
                "relationshipType": "or",
                "thresholdValue": "1",
            }],
            "displayName": name,
            "enabled": true,
            "isSystemRule": true,
            "notificationChannels": [{"notificationChannelType": "portal", "notificationReceivers": []}],
            "severity": "warning",
            "threshold": {"aggregation": aggregation, "operator": "greaterOrEqual", "target": 1},
        });
        match body {
            Value::Object(body) => ((*id).to_owned(), body),
            _ => unreachable!("the literal above is an object"),
        }
    };
    SYSTEM_RULES.iter().map(rule).collect()
}

/// The part of a rule that is evaluated.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlertRule {
    display_name: String,
    alert_rule_template: String,
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    severity: Option<String>,
    #[serde(default)]
    conditions: Vec<Condition>,
    threshold: Option<Threshold>,
}

/// One condition of a rule.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    relationship_type: Option<String>,
    condition_category: String,
    aggregation: Option<String>,
    operator: String,
    threshold_value: String,
}

/// The older form of a single condition, on what the rule's template watches.
#[derive(Deserialize)]
struct Threshold {
    aggregation: Option<String>,
    operator: Option<String>,
    target: Option<i64>,
}

impl AlertRule {
    /// Returns the conditions; those of the older form if there are no others.
    fn conditions(&self) -> Vec<Condition> {
        let (Some(threshold), true) = (&self.threshold, self.conditions.is_empty()) else {
            return self.conditions.clone();
        };
        let watched = SYSTEM_RULES.iter().find(|(template, ..)| *template == self.alert_rule_template);
        let Some((.., category, _)) = watched else { return Vec::new() };
        vec![Condition {
            relationship_type: None,
            condition_category: (*category).to_owned(),
            aggregation: threshold.aggregation.clone(),
            operator: threshold.operator.clone().unwrap_or_else(|| "greaterOrEqual".into()),
            threshold_value: threshold.target.unwrap_or(1).to_string(),
        }]
    }
}

/// How many things a condition found, and whether it holds.
struct Finding {
    aggregation: String,
    value: u64,
    holds: bool,
}

/// The state of a tenant, counted once for an evaluation.
struct Watched<'a, 'r> {
    reader: &'a Reader<'r>,
    tenant: TenantId,
    counts: BTreeMap<String, Option<(u64, u64)>>,
}

impl Watched<'_, '_> {
    /// Returns how many things are in a state, and of how many; none if nothing here tells.
    fn count(&mut self, category: &str) -> Result<Option<(u64, u64)>, StoreError> {
        if let Some(counted) = self.counts.get(category) {
            return Ok(*counted);
        }
        let counted = match category {
            "provisionFailures" => Some(self.cloud_pcs(CloudPcStatus::Failed)?),
            "cloudPcInGracePeriod" => Some(self.cloud_pcs(CloudPcStatus::InGracePeriod)?),
            "imageUploadFailures" => Some(self.documents(DocumentType::CloudPcDeviceImage, "status")?),
            "azureNetworkConnectionCheckFailures" => {
                Some(self.documents(DocumentType::CloudPcOnPremisesConnection, "healthCheckStatus")?)
            }
            _ => None,
        };
        self.counts.insert(category.to_owned(), counted);
        Ok(counted)
    }

    fn cloud_pcs(&self, status: CloudPcStatus) -> Result<(u64, u64), StoreError> {
        let found = self.reader.cloud_pc_count_with_status(self.tenant, status, ALERT_COUNT_MAX)?;
        let all = if found == 0 { 0 } else { self.reader.cloud_pc_count(self.tenant, None)? };
        Ok((found, all))
    }

    fn documents(&self, kind: DocumentType, property: &str) -> Result<(u64, u64), StoreError> {
        let all = self.reader.document_list(self.tenant, kind, "", None, DOCUMENTS_READ_MAX)?;
        let is_failed = |document: &&Document| document.status.get(property).and_then(Value::as_str) == Some("failed");
        Ok((all.iter().filter(is_failed).count() as u64, all.len() as u64))
    }

    /// Evaluates one condition.
    fn find(&mut self, condition: &Condition) -> Result<Finding, StoreError> {
        let aggregation = condition.aggregation.clone().unwrap_or_else(|| "count".into());
        let counted = self.count(&condition.condition_category)?;
        let value = match (counted, aggregation.as_str()) {
            (Some((found, _)), "count" | "affectedCloudPcCount") => Some(found),
            (Some((found, all)), "percentage" | "affectedCloudPcPercentage") => Some(found * 100 / all.max(1)),
            _ => None,
        };
        let target = condition.threshold_value.parse::<u64>().ok();
        let holds = match (value, target) {
            (Some(value), Some(target)) => match condition.operator.as_str() {
                "greaterOrEqual" => value >= target,
                "equal" => value == target,
                "greater" => value > target,
                "less" => value < target,
                "lessOrEqual" => value <= target,
                "notEqual" => value != target,
                _ => false,
            },
            _ => false,
        };
        Ok(Finding { aggregation, value: value.unwrap_or_default(), holds })
    }

    /// Returns the impact of a rule's alert, by the first condition that holds; none if the
    /// conditions together do not.
    fn evaluate(&mut self, rule: &AlertRule) -> Result<Option<Value>, StoreError> {
        if !rule.enabled {
            return Ok(None);
        }
        let (mut holds, mut impact) = (false, None);
        for (place, condition) in rule.conditions().iter().enumerate() {
            let found = self.find(condition)?;
            holds = match condition.relationship_type.as_deref() {
                _ if place == 0 => found.holds,
                Some("or") => holds || found.holds,
                _ => holds && found.holds,
            };
            if impact.is_none() && found.holds {
                impact = Some(json!({"aggregationType": found.aggregation, "value": found.value}));
            }
        }
        Ok(impact.filter(|_| holds))
    }
}

/// Returns the rules of a tenant: those that were written, and the built-in ones that were not.
fn rules(reader: &Reader<'_>, tenant: TenantId) -> Result<BTreeMap<String, Object>, StoreError> {
    let most = usize::try_from(ALERT_RULES_MAX).unwrap_or(usize::MAX).saturating_add(SYSTEM_RULES.len());
    let written = reader.document_list(tenant, DocumentType::AlertRule, "", None, most)?;
    let mut rules: BTreeMap<_, _> = system_alert_rules().into_iter().collect();
    rules.extend(written.into_iter().map(|rule| (rule.key.id, rule.body)));
    Ok(rules)
}

/// Evaluates the rules of a tenant and writes what follows into its records. `seed` gives the ids
/// of new records, because the transaction may run more than once.
pub(crate) fn evaluate(tx: &mut Tx<'_>, tenant: TenantId, seed: u64, now: Timestamp) -> Result<(), StoreError> {
    let rng = SeededRng::new(seed);
    let mut active: BTreeMap<String, String> = tx.active_alert_list(tenant)?.into_iter().collect();
    let mut found = Vec::new();
    let mut watched = Watched { reader: tx, tenant, counts: BTreeMap::new() };
    for (id, body) in rules(tx, tenant)? {
        // A rule of a later version may have a form that is not known here.
        let Ok(rule) = AlertRule::deserialize(Value::Object(body)) else { continue };
        if let Some(impact) = watched.evaluate(&rule)? {
            found.push((id, rule, impact));
        }
    }
    for (id, rule, impact) in found {
        match active.remove(&id) {
            Some(record) => update(tx, tenant, &record, now, |status| {
                if status.get("alertImpact") == Some(&impact) {
                    return false;
                }
                status.insert("alertImpact".into(), impact.clone());
                true
            })?,
            None => {
                let record = record(tenant, &rng.uuid().to_string(), &id, &rule, impact, now);
                insert(tx, &record)?;
                tx.active_alert_put(tenant, &id, &record.key.id)?;
            }
        }
    }
    for (rule, record) in active {
        update(tx, tenant, &record, now, |status| {
            status.insert("status".into(), json!("resolved"));
            status.insert("resolvedDateTime".into(), json!(now.to_string()));
            true
        })?;
        tx.active_alert_remove(tenant, &rule)?;
    }
    tx.alert_evaluation_remove(tenant)
}

fn record(tenant: TenantId, id: &str, rule_id: &str, rule: &AlertRule, impact: Value, now: Timestamp) -> Document {
    let object = |value: Value| value.as_object().cloned().unwrap_or_default();
    Document {
        tenant_id: tenant,
        key: DocumentKey::new(DocumentType::AlertRecord, id),
        revision: 1,
        body: object(json!({
            "alertRuleId": rule_id,
            "alertRuleTemplate": rule.alert_rule_template,
            "displayName": rule.display_name,
            "severity": rule.severity.as_deref().unwrap_or("unknown"),
        })),
        status: object(json!({
            "alertImpact": impact,
            "detectedDateTime": now.to_string(),
            "lastUpdatedDateTime": now.to_string(),
            "status": "active",
        })),
        secret_counts: Object::new(),
        created_at: now,
        modified_at: now,
    }
}

/// Adds a record, in place of the oldest resolved one if there are too many.
fn insert(tx: &mut Tx<'_>, record: &Document) -> Result<(), StoreError> {
    let (tenant, kind) = (record.tenant_id, record.key.kind);
    let records = tx.document_list(tenant, kind, "", None, ALERT_RECORDS_MAX)?;
    if records.len() >= ALERT_RECORDS_MAX {
        let is_resolved = |record: &&Document| record.status.contains_key("resolvedDateTime");
        if let Some(oldest) = records.iter().filter(is_resolved).min_by_key(|record| record.created_at) {
            tx.document_delete(tenant, &oldest.key, &[])?.map_err(conflict)?;
        }
    }
    tx.document_insert(record, &DocumentIndex::default())?.map_err(conflict)
}

fn conflict(conflict: cloudpc_store::DocumentConflict) -> StoreError {
    StoreError::Corrupt { table: "documents", what: format!("an alert record: {conflict:?}") }
}

/// Changes the state of a record, if `change` says that it did.
fn update(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    record: &str,
    now: Timestamp,
    change: impl FnOnce(&mut Object) -> bool,
) -> Result<(), StoreError> {
    let key = DocumentKey::new(DocumentType::AlertRecord, record);
    let Some(mut document) = tx.document(tenant, &key)? else { return Ok(()) };
    if change(&mut document.status) {
        document.status.insert("lastUpdatedDateTime".into(), json!(now.to_string()));
        tx.document_status_put(tenant, &key, &document.status)?;
    }
    Ok(())
}
