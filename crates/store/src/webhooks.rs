//! Where the delivery of each webhook stands.
//!
//! A webhook is a document; what the service writes into its row here is no change in the feed:
//! otherwise each delivery would be a change to deliver. This module refuses to know what is
//! delivered, and to whom.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cloudpc_model::{DocumentType, EntityType, TenantId, Timestamp};

use crate::changes::FeedPosition;
use crate::connection::{Row, params};
use crate::rows::{Columns, micros};
use crate::{Reader, StoreError, Tx};

const TABLE: &str = "webhook_deliveries";

macro_rules! columns {
    () => {
        "tenant_id, webhook_id, caller, client_state, key_version, old_key_until, epoch, number, attempts, failing_since, \
         next_at, detail, delivered_at"
    };
}

/// Where the delivery of a webhook stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id of the webhook.
    pub webhook_id: String,
    /// Who receives, as the server writes it.
    pub caller: String,
    /// What the receiver asked to be sent with each notification.
    pub client_state: Option<String>,
    /// Number of the key that signs.
    pub key_version: i64,
    /// Until when the key before also signs.
    pub old_key_until: Option<Timestamp>,
    /// The last change that was delivered or is none for this webhook.
    pub position: FeedPosition,
    /// Failed attempts since the last success.
    pub attempts: u32,
    /// Time of the first of them.
    pub failing_since: Option<Timestamp>,
    /// When to try again; none while the delivery is suspended.
    pub next_at: Option<Timestamp>,
    /// Why the last attempt failed, or why the delivery is suspended; empty after a success.
    pub detail: String,
    /// Time of the last success.
    pub delivered_at: Option<Timestamp>,
}

impl Reader<'_> {
    /// Returns where the delivery of a webhook stands.
    pub fn webhook_delivery(&self, tenant: TenantId, id: &str) -> Result<Option<WebhookDelivery>, StoreError> {
        self.row(
            concat!("SELECT ", columns!(), " FROM webhook_deliveries WHERE tenant_id = ?1 AND webhook_id = ?2"),
            params![tenant.0, id],
            delivery,
        )
    }

    /// Returns the deliveries of all tenants, each with the position at the end of its tenant's
    /// feed. There are at most a few for each tenant.
    pub fn webhook_deliveries(&self) -> Result<Vec<(WebhookDelivery, FeedPosition)>, StoreError> {
        let all = self.rows(
            concat!("SELECT ", columns!(), " FROM webhook_deliveries ORDER BY tenant_id, webhook_id"),
            params![],
            delivery,
        )?;
        let mut heads = BTreeMap::new();
        let with_head = |delivery: WebhookDelivery| {
            let head = match heads.entry(delivery.tenant_id) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(place) => *place.insert(self.change_head(delivery.tenant_id)?),
            };
            Ok((delivery, head))
        };
        all.into_iter().map(with_head).collect()
    }
}

impl Tx<'_> {
    /// Adds a delivery, or replaces the one of the same webhook.
    pub fn webhook_delivery_put(&mut self, delivery: &WebhookDelivery) -> Result<(), StoreError> {
        self.execute(
            concat!(
                "INSERT INTO webhook_deliveries (",
                columns!(),
                ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                 ON CONFLICT (tenant_id, webhook_id) DO UPDATE SET caller = excluded.caller, client_state = excluded.client_state,
                 key_version = excluded.key_version, old_key_until = excluded.old_key_until, epoch = excluded.epoch,
                 number = excluded.number, attempts = excluded.attempts, failing_since = excluded.failing_since,
                 next_at = excluded.next_at, detail = excluded.detail, delivered_at = excluded.delivered_at"
            ),
            params![
                delivery.tenant_id.0,
                delivery.webhook_id,
                delivery.caller,
                delivery.client_state,
                delivery.key_version,
                micros(delivery.old_key_until),
                delivery.position.epoch.cast_signed(),
                delivery.position.number,
                i64::from(delivery.attempts),
                micros(delivery.failing_since),
                micros(delivery.next_at),
                delivery.detail,
                micros(delivery.delivered_at),
            ],
        )?;
        Ok(())
    }

    /// Replaces a delivery on behalf of a caller, which is a change of the webhook.
    pub fn webhook_delivery_change(&mut self, delivery: &WebhookDelivery) -> Result<(), StoreError> {
        self.updated(delivery.tenant_id, EntityType::Document(DocumentType::Webhook), &delivery.webhook_id);
        self.webhook_delivery_put(delivery)
    }

    /// Deletes a delivery.
    pub fn webhook_delivery_delete(&mut self, tenant: TenantId, id: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM webhook_deliveries WHERE tenant_id = ?1 AND webhook_id = ?2", params![tenant.0, id])?;
        Ok(())
    }
}

/// Reads the columns of `columns!`.
fn delivery(row: Row<'_>) -> Result<WebhookDelivery, StoreError> {
    let mut columns = Columns::new(row, TABLE);
    Ok(WebhookDelivery {
        tenant_id: TenantId(columns.get()?),
        webhook_id: columns.get()?,
        caller: columns.get()?,
        client_state: columns.get()?,
        key_version: columns.get()?,
        old_key_until: columns.time_opt()?,
        position: FeedPosition { epoch: columns.get::<i64>()?.cast_unsigned(), number: columns.get()? },
        attempts: u32::try_from(columns.get::<i64>()?).unwrap_or(u32::MAX),
        failing_since: columns.time_opt()?,
        next_at: columns.time_opt()?,
        detail: columns.get()?,
        delivered_at: columns.time_opt()?,
    })
}
