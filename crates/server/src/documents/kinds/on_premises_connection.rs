//! `cloudPcOnPremisesConnection`: the network that the Cloud PCs of a policy are in.
//!
//! The service checks a connection when it is created, changed or asked to. It does not check
//! connections by itself, so `healthCheckPaused` tells only what the real service would do.

mod arm_id;

use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentKey, DocumentType, Kind as ActionKind, Object, Params, State, Timestamp};
use cloudpc_store::{ActionFilter, Reader, Tx};
use serde_json::{Value, json};
use std::time::Duration;

use crate::documents::kind::Const::{Text, Texts};
use crate::documents::kind::Fact::{CharsMax, Computed, Default, Old, Required, Secret, SelectOnly, Unique};
use crate::documents::kind::{DocumentChange, DocumentKind, Hooks, Rights, WRITABLE};
use crate::pipeline::{Call, Problem, READ, WRITE_SIGNED_IN, required};
use arm_id::{ArmId, RESOURCE_GROUP, SUBNET, VIRTUAL_NETWORK};

/// Time after a creation or update until the real service pauses health checks.
const PAUSED_AFTER_WRITE: Duration = Duration::from_hours(4 * 7 * 24);
/// Time after a retry until the real service pauses health checks.
const PAUSED_AFTER_RETRY: Duration = Duration::from_hours(2 * 7 * 24);
/// Longest name of a domain, characters (RFC 1035).
const DOMAIN_CHARS_MAX: usize = 253;
/// Longest label of a domain, characters (RFC 1035).
const LABEL_CHARS_MAX: usize = 63;

const STATUS: &str = "healthCheckStatus";
/// Time of the last `runHealthChecks`, microseconds; not in the contract, so never sent.
const RETRIED_AT: &str = "cloudpcRetriedAt";

static RIGHTS: Rights = Rights { resource: "OnPremisesConnections", read: &READ, write: &WRITE_SIGNED_IN };

/// `cloudPcOnPremisesConnection`
pub(super) static ON_PREMISES_CONNECTION: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcOnPremisesConnection,
    "/deviceManagement/virtualEndpoint/onPremisesConnections",
    &RIGHTS,
    WRITABLE,
    &[
        Required("displayName"),
        Unique("displayName"),
        CharsMax("displayName", 120),
        Required("subscriptionId"),
        Required("resourceGroupId"),
        Required("virtualNetworkId"),
        Required("subnetId"),
        Old { old: "type", newest: "connectionType", values: &[] },
        Default("connectionType", Text("hybridAzureADJoin")),
        Secret("adDomainPassword"),
        Default("managedBy", Text("windows365")),
        Default("scopeIds", Texts(&["0"])),
        Computed("alternateResourceUrl"),
        SelectOnly("alternateResourceUrl"),
        Computed("subscriptionName"),
        Computed("virtualNetworkLocation"),
        Computed("subnetPrivateIpDetail"),
        SelectOnly("subnetPrivateIpDetail"),
        Computed("inUse"),
        SelectOnly("inUse"),
        Computed("inUseByCloudPc"),
        Computed("healthCheckPaused"),
        Computed("healthCheckStatus"),
        Computed("healthCheckStatusDetail"),
        SelectOnly("healthCheckStatusDetail"),
        SelectOnly("healthCheckStatusDetails"),
        Old {
            old: "healthCheckStatusDetail/healthChecks/additionalDetails",
            newest: "healthCheckStatusDetail/healthChecks/additionalDetail",
            values: &[],
        },
        Old { old: "healthCheckStatusDetails", newest: "healthCheckStatusDetail", values: &[] },
    ],
)
.hooks(&ConnectionHooks);

/// Accepts health checks that a caller asks for.
///
/// # Errors
/// The store failed.
pub(crate) fn retry_health_checks(tx: &mut Tx<'_>, call: &Call, mut connection: Document) -> Result<(), Problem> {
    connection.status.insert(STATUS.into(), json!("pending"));
    connection.status.insert(RETRIED_AT.into(), json!(call.at.0));
    tx.document_status_put(connection.tenant_id, &connection.key, &connection.status)?;
    accept_health_checks(tx, call, &connection)
}

/// Accepts health checks, unless some that have not begun wait already: those will check the
/// connection as it is now.
fn accept_health_checks(tx: &mut Tx<'_>, call: &Call, connection: &Document) -> Result<(), Problem> {
    let latest = tx.action_list(connection.tenant_id, &connection.key.id, ActionFilter::All, None, 1)?;
    let waits =
        |action: &cloudpc_model::Action| action.state == State::Pending && action.kind() == ActionKind::CheckConnection;
    if !latest.iter().any(waits) {
        let engine = &call.app.engine;
        engine.accept_on_document(tx, &call.request_context(), connection, Params::CheckConnection, call.at)?;
    }
    Ok(())
}

struct ConnectionHooks;

impl Hooks for ConnectionHooks {
    fn check(&self, _reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        let new = &mut *change.new;
        check_resources(&new.body)?;
        check_domain(new)?;
        let is_changed = change.old.is_none_or(|old| old.body != new.body || old.secret_counts != new.secret_counts);
        if is_changed {
            new.status.insert(STATUS.into(), json!("pending"));
        }
        Ok(())
    }

    fn after(
        &self,
        tx: &mut Tx<'_>,
        call: &Call,
        _old: Option<&Document>,
        new: Option<&Document>,
    ) -> Result<(), Problem> {
        new.map_or(Ok(()), |connection| accept_health_checks(tx, call, connection))
    }

    fn computed(&self, reader: &Reader<'_>, call: &Call, page: &mut [Document]) -> Result<(), Problem> {
        let ids: Vec<_> = page.iter().map(|connection| connection.key.id.as_str()).collect();
        let kind = DocumentType::CloudPcOnPremisesConnection;
        let holders = reader.document_holders(call.tenant(), kind, &ids)?;
        for connection in page {
            let own: Vec<_> =
                holders.iter().filter(|(id, _)| *id == connection.key.id).map(|(_, holder)| holder).collect();
            let is_in_use = !own.is_empty();
            let retried_at = connection.status.get(RETRIED_AT).and_then(Value::as_i64).map(Timestamp);
            let paused = !is_in_use && is_paused(call.at, connection.modified_at, retried_at);
            let used_by_cloud_pc = has_cloud_pc(reader, call, &own)?;
            connection.status.insert("inUse".into(), json!(is_in_use));
            connection.status.insert("inUseByCloudPc".into(), json!(used_by_cloud_pc));
            connection.status.insert("healthCheckPaused".into(), json!(paused));
        }
        Ok(())
    }
}

/// Whether one of these policies has a Cloud PC.
fn has_cloud_pc(reader: &Reader<'_>, call: &Call, holders: &[&DocumentKey]) -> Result<bool, Problem> {
    let policies = holders.iter().filter(|holder| holder.kind == DocumentType::CloudPcProvisioningPolicy);
    for policy in policies {
        if !reader.entitlement_cloud_pcs(call.tenant(), &policy.id, None, 1)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the real service would pause the checks of a connection that no policy uses. It also
/// counts Cloud PCs of the last four weeks, which nothing here remembers.
fn is_paused(now: Timestamp, modified_at: Timestamp, retried_at: Option<Timestamp>) -> bool {
    let retry_ends = retried_at.map(|at| at + PAUSED_AFTER_RETRY);
    now >= modified_at + PAUSED_AFTER_WRITE && retry_ends.is_none_or(|ends| now >= ends)
}

fn text<'a>(body: &'a Object, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn wrong(property: &str, message: impl Into<String>) -> Problem {
    GraphError::bad_request(message).about(property).into()
}

/// The resources are of one subscription, and the subnet is one of the virtual network.
fn check_resources(body: &Object) -> Result<(), Problem> {
    let parse = |property: &'static str, form: &[&str], example: &str| {
        ArmId::parse(text(body, property), form).ok_or_else(|| {
            let given = text(body, property);
            wrong(property, format!("'{given}' is not a valid {property}. Expected an id such as {example}."))
        })
    };
    const GROUP: &str = "/subscriptions/0ac520ee-14c0-480f-b6c9-0a90c585ffff/resourceGroups/example";
    let network_example = format!("{GROUP}/providers/Microsoft.Network/virtualNetworks/example");
    let given = text(body, "subscriptionId");
    let subscription = ArmId::parse_subscription(given)
        .ok_or_else(|| wrong("subscriptionId", format!("'{given}' is not a valid subscriptionId. Expected a GUID.")))?;
    let group = parse("resourceGroupId", RESOURCE_GROUP, GROUP)?;
    let network = parse("virtualNetworkId", VIRTUAL_NETWORK, &network_example)?;
    let subnet = parse("subnetId", SUBNET, &format!("{network_example}/subnets/default"))?;
    for (property, id) in [("resourceGroupId", &group), ("virtualNetworkId", &network), ("subnetId", &subnet)] {
        if id.subscription != subscription {
            let message = format!(
                "'{property}' is of the subscription {}, and 'subscriptionId' is {subscription}. Use resources of one subscription.",
                id.subscription
            );
            return Err(wrong(property, message));
        }
    }
    if subnet.names[..2] != network.names[..] {
        let message = format!(
            "The subnet '{}' is not in the virtual network '{}'.",
            text(body, "subnetId"),
            text(body, "virtualNetworkId")
        );
        return Err(wrong("subnetId", message));
    }
    Ok(())
}

/// A hybrid connection has a domain and an account to join it.
fn check_domain(connection: &Document) -> Result<(), Problem> {
    let body = &connection.body;
    if text(body, "connectionType") != "hybridAzureADJoin" {
        return Ok(());
    }
    for property in ["adDomainName", "adDomainUsername"] {
        if text(body, property).trim().is_empty() {
            return Err(needed_by_hybrid(property));
        }
    }
    if !connection.secret_counts.contains_key("adDomainPassword") {
        return Err(needed_by_hybrid("adDomainPassword"));
    }
    let domain = text(body, "adDomainName");
    if !is_domain(domain) {
        let message = format!("'{domain}' is not a domain name. Expected a name such as corp.contoso.com.");
        return Err(wrong("adDomainName", message));
    }
    Ok(())
}

fn needed_by_hybrid(property: &str) -> Problem {
    let error = required(property);
    let message = format!("{} A connection of the type 'hybridAzureADJoin' needs it.", error.message);
    GraphError { message, ..error }.into()
}

fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_CHARS_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= DOMAIN_CHARS_MAX && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_checks_are_paused_weeks_after_the_last_write_and_retry() {
        let (made, second) = (Timestamp(0), Duration::from_secs(1));
        let ends = made + PAUSED_AFTER_WRITE;
        assert!(!is_paused(ends - second, made, None));
        assert!(is_paused(ends, made, None));
        let retried = ends + second;
        assert!(!is_paused(retried + PAUSED_AFTER_RETRY - second, made, Some(retried)));
        assert!(is_paused(retried + PAUSED_AFTER_RETRY, made, Some(retried)));
        assert!(!is_paused(ends - second, made, Some(made)), "a retry does not shorten the time after a write");
    }

    #[test]
    fn domain_names_have_labels_of_letters_digits_and_hyphens() {
        let label = "a".repeat(LABEL_CHARS_MAX);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), DOMAIN_CHARS_MAX);
        for right in ["corp", "corp.contoso.com", "1-a.test", &label, &longest] {
            assert!(is_domain(right), "{right}");
        }
        for wrong in [
            "",
            ".",
            "a..b",
            "corp.",
            "-a.test",
            "a-.test",
            "a b",
            "ä.test",
            "a/b",
            &format!("{label}a"),
            &format!("{longest}a"),
        ] {
            assert!(!is_domain(wrong), "{wrong}");
        }
    }
}
