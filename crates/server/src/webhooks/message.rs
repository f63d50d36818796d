//! Messages: what a change is to a receiver, and how a message is signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloudpc_model::{Action, ActionId, ChangeKind, DocumentType, EntityType, Params, State, TenantId};
use cloudpc_store::{FeedEntry, FeedPosition, Reader, StoreError, WebhookDelivery};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// The changes that a webhook delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A provisioning policy is created.
    PolicyCreated,
    /// A provisioning policy is updated.
    PolicyUpdated,
    /// A Cloud PC is created.
    CloudPcCreated,
    /// A remote action is accepted.
    RemoteActionTriggered,
    /// A remote action has ended.
    RemoteActionCompletes,
    /// A Cloud PC or an action on it is created, updated or deleted.
    CloudPcChanges,
}

/// The scenarios by the texts that clients send. The last one is ours.
pub const SCENARIOS: &[(&str, Scenario)] = &[
    ("When a new provisioning policy is created", Scenario::PolicyCreated),
    ("When a provisioning policy is updated", Scenario::PolicyUpdated),
    ("When a Cloud PC is created", Scenario::CloudPcCreated),
    ("When a remote action on a Cloud PC is triggered", Scenario::RemoteActionTriggered),
    ("When a remote action on a Cloud PC completes", Scenario::RemoteActionCompletes),
    ("When a Cloud PC changes", Scenario::CloudPcChanges),
];

impl Scenario {
    /// Returns the scenario that a text names.
    pub fn named(text: &str) -> Option<Self> {
        SCENARIOS.iter().find(|(name, _)| *name == text).map(|(_, scenario)| *scenario)
    }

    /// Returns what a change is in this scenario; none if it does not belong to it.
    pub(super) fn notification(
        self,
        reader: &Reader<'_>,
        webhook: &WebhookDelivery,
        entry: &FeedEntry,
    ) -> Result<Option<Value>, StoreError> {
        let (change, of_policy) = (&entry.change, EntityType::Document(DocumentType::CloudPcProvisioningPolicy));
        let action = match change.entity_type {
            EntityType::Action => match change.id.parse() {
                Ok(id) => reader.action(webhook.tenant_id, ActionId(id))?.filter(targets_cloud_pc),
                Err(_) => None,
            },
            _ => None,
        };
        let is_remote = action.as_ref().is_some_and(|action| action.kind().is_remote_action());
        let belongs = match self {
            Self::PolicyCreated => change.entity_type == of_policy && change.kind == ChangeKind::Created,
            Self::PolicyUpdated => change.entity_type == of_policy && change.kind == ChangeKind::Updated,
            Self::CloudPcCreated => change.entity_type == EntityType::CloudPc && change.kind == ChangeKind::Created,
            Self::RemoteActionTriggered => is_remote && change.kind == ChangeKind::Created,
            // Its log tells what the action was when it changed, whatever it is by now.
            Self::RemoteActionCompletes => is_remote && ended(&change.name),
            Self::CloudPcChanges => change.entity_type == EntityType::CloudPc || action.is_some(),
        };
        Ok(belongs.then(|| shown(webhook, entry, action.as_ref())))
    }
}

fn targets_cloud_pc(action: &Action) -> bool {
    !matches!(action.params, Params::ImportImage { .. } | Params::RemoveImage | Params::CheckConnection)
}

/// Whether a state's name is that of an end.
fn ended(state: &str) -> bool {
    state.parse().is_ok_and(|state: State| state.is_final())
}

/// A change in the form of Graph's change notifications.
fn shown(webhook: &WebhookDelivery, entry: &FeedEntry, action: Option<&Action>) -> Value {
    let change = &entry.change;
    let root = "deviceManagement/virtualEndpoint";
    let id = &change.id;
    let (path, data_type) = match (change.entity_type, action) {
        (EntityType::Action, _) => {
            (format!("{root}/cloudPCs/{}/cloudpc.actions/{id}", change.parent), "#cloudpc.action")
        }
        (EntityType::CloudPc, _) => (format!("{root}/cloudPCs/{id}"), "#microsoft.graph.cloudPC"),
        _ => (format!("{root}/provisioningPolicies/{id}"), "#microsoft.graph.cloudPcProvisioningPolicy"),
    };
    let mut data = json!({ "@odata.type": data_type, "@odata.id": path, "id": id });
    if let Some(action) = action {
        data["actionName"] = json!(action.kind().name());
        data["cloudPcId"] = json!(change.parent);
        data["state"] = json!(change.name);
    }
    let position = FeedPosition { number: entry.number, ..webhook.position };
    json!({
        "id": position.to_string(),
        "subscriptionId": webhook.webhook_id,
        "clientState": webhook.client_state,
        "tenantId": webhook.tenant_id.to_string(),
        "changeType": <&str>::from(change.kind),
        "eventDateTime": entry.at.to_string(),
        "resource": path,
        "resourceData": data,
    })
}

/// The notification of a webhook whose undelivered changes were deleted.
pub(super) fn missed(webhook: &WebhookDelivery) -> Value {
    json!({
        "subscriptionId": webhook.webhook_id,
        "clientState": webhook.client_state,
        "tenantId": webhook.tenant_id.to_string(),
        "lifecycleEvent": "missed",
    })
}

/// The keys that messages are signed with: one for each webhook and version, derived from one key
/// of the installation. So no key of a webhook is stored.
pub struct SigningKeys(Vec<u8>);

impl SigningKeys {
    /// The keys that are derived from this one.
    pub fn new(installation_key: &[u8]) -> Self {
        Self(mac(installation_key, &[b"signing keys of webhooks"]))
    }

    /// Returns a key as Standard Webhooks writes it.
    pub fn text(&self, tenant: TenantId, webhook: &str, version: i64) -> String {
        format!("whsec_{}", STANDARD.encode(self.key(tenant, webhook, version)))
    }

    /// The signature of a message by the scheme of Standard Webhooks: HMAC-SHA256 of id, time and
    /// body.
    pub(super) fn sign(&self, webhook: &WebhookDelivery, version: i64, id: &str, seconds: i64, body: &[u8]) -> String {
        let key = self.key(webhook.tenant_id, &webhook.webhook_id, version);
        let signature = mac(&key, &[id.as_bytes(), b".", seconds.to_string().as_bytes(), b".", body]);
        format!("v1,{}", STANDARD.encode(signature))
    }

    fn key(&self, tenant: TenantId, webhook: &str, version: i64) -> Vec<u8> {
        mac(&self.0, &[b"webhook\n", tenant.0.as_bytes(), webhook.as_bytes(), b"\n", version.to_string().as_bytes()])
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn each_webhook_and_version_has_a_key_of_its_own() {
        let keys = SigningKeys::new(b"installation");
        let tenant = |number: u128| TenantId(Uuid::from_u128(number));
        let mut texts = vec![
            keys.text(tenant(1), "a", 1),
            keys.text(tenant(1), "a", 2),
            keys.text(tenant(1), "b", 1),
            keys.text(tenant(2), "a", 1),
            SigningKeys::new(b"another").text(tenant(1), "a", 1),
        ];
        assert!(texts.iter().all(|text| text.starts_with("whsec_") && text.len() == "whsec_".len() + 44), "{texts:?}");
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), 5);
    }
}
