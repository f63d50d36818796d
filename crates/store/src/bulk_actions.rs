//! Bulk actions and their items.
//!
//! A bulk action carries the numbers of its items in each state, which every change of an item
//! keeps. An item is changed in the transaction that begins or ends its action.

use cloudpc_model::{
    Action, ActionId, BulkAction, BulkActionId, BulkCounts, BulkItem, BulkItemState, Change, ChangeKind, EntityType,
    Failure, TenantId, Timestamp,
};

use crate::connection::{Row, params};
use crate::lists::{ListColumn, ListTable};
use crate::rows::{self, Columns, guid_after, json, json_opt, micros, word};
use crate::{Reader, StoreError, Tx};

macro_rules! columns {
    () => {
        "tenant_id, id, display_name, request, in_maintenance_window, requested_by, request_id, created_at, pending_count, in_progress_count, succeeded_count, failed_count, not_supported_count"
    };
}

macro_rules! item_columns {
    () => {
        "number, cloud_pc_id, state, action_id, failure"
    };
}

/// The bulk actions of a tenant, by id.
pub static BULK_ACTIONS: ListTable<BulkAction> = ListTable {
    name: "bulk_actions",
    columns: columns!(),
    width: 13,
    id: bulk_action_columns::ID,
    descending: false,
    map: bulk_action,
};

/// Columns by which bulk actions are selected and sorted.
#[expect(missing_docs, reason = "each is named after the field of the bulk action")]
pub mod bulk_action_columns {
    use super::ListColumn;

    pub const ID: ListColumn = ListColumn::key("id", 0);
    pub const DISPLAY_NAME: ListColumn = ListColumn::plain("display_name");
    pub const CREATED_AT: ListColumn = ListColumn::indexed("created_at", "bulk_actions_created", 1);
    pub const IN_MAINTENANCE_WINDOW: ListColumn = ListColumn::plain("in_maintenance_window");
    /// See [`BulkCounts::status`](cloudpc_model::BulkCounts::status).
    pub const STATUS: ListColumn = ListColumn::plain(
        "CASE WHEN pending_count + in_progress_count > 0 THEN 'pending'
         WHEN failed_count + not_supported_count > 0 THEN 'failed' ELSE 'succeeded' END",
    );
}

/// How an item of a bulk action goes on.
#[derive(Clone, Debug)]
pub struct BulkItemChange {
    /// State after the change.
    pub state: BulkItemState,
    /// When a pending item is due next.
    pub due_at: Option<Timestamp>,
    /// The action that was begun.
    pub action_id: Option<ActionId>,
    /// Why it failed or is not supported.
    pub failure: Option<Failure>,
}

impl Reader<'_> {
    /// A bulk action.
    pub fn bulk_action(&self, tenant: TenantId, id: BulkActionId) -> Result<Option<BulkAction>, StoreError> {
        self.row(
            concat!("SELECT ", columns!(), " FROM bulk_actions WHERE tenant_id = ?1 AND id = ?2"),
            params![tenant.0, id.0],
            bulk_action,
        )
    }

    /// Bulk actions by id, those above `after`.
    pub fn bulk_action_list(
        &self,
        tenant: TenantId,
        after: Option<BulkActionId>,
        limit: usize,
    ) -> Result<Vec<BulkAction>, StoreError> {
        self.rows(
            concat!("SELECT ", columns!(), " FROM bulk_actions WHERE tenant_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3"),
            params![tenant.0, guid_after(after.map(|id| id.0)), rows::limit(limit)],
            bulk_action,
        )
    }

    /// Number of bulk actions.
    pub fn bulk_action_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM bulk_actions WHERE tenant_id = ?1", params![tenant.0])
    }

    /// Number of bulk actions with items that have not ended.
    pub fn bulk_action_open_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM bulk_actions WHERE tenant_id = ?1 AND open = 1", params![tenant.0])
    }

    /// Items of a bulk action by number, from `first`.
    pub fn bulk_action_items(
        &self,
        tenant: TenantId,
        id: BulkActionId,
        first: u32,
        limit: usize,
    ) -> Result<Vec<BulkItem>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                item_columns!(),
                " FROM bulk_action_items
                 WHERE tenant_id = ?1 AND bulk_action_id = ?2 AND number >= ?3 ORDER BY number LIMIT ?4"
            ),
            params![tenant.0, id.0, first, rows::limit(limit)],
            bulk_item,
        )
    }

    /// Up to `limit` pending items that are due by `now`, longest due first.
    pub fn bulk_action_items_due(
        &self,
        tenant: TenantId,
        id: BulkActionId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<BulkItem>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                item_columns!(),
                " FROM bulk_action_items
                 WHERE tenant_id = ?1 AND bulk_action_id = ?2 AND due_at IS NOT NULL AND due_at <= ?3
                 ORDER BY due_at, number LIMIT ?4"
            ),
            params![tenant.0, id.0, now.0, rows::limit(limit)],
            bulk_item,
        )
    }

    /// A bulk action that is due by `now`, of the first tenant after `after` that has one.
    pub fn bulk_action_due(
        &self,
        after: Option<TenantId>,
        now: Timestamp,
    ) -> Result<Option<(TenantId, BulkActionId)>, StoreError> {
        self.row(
            "SELECT tenant_id, id FROM bulk_actions WHERE due_at IS NOT NULL AND tenant_id > ?1 AND due_at <= ?2
             ORDER BY tenant_id, due_at, id LIMIT 1",
            params![guid_after(after.map(|tenant| tenant.0)), now.0],
            |row| Ok((TenantId(row.get(0)?), BulkActionId(row.get(1)?))),
        )
    }

    /// The earliest time at which a bulk action is due.
    pub fn bulk_action_next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let earliest = self.row("SELECT min(due_at) FROM bulk_actions WHERE due_at IS NOT NULL", params![], |row| {
            row.get::<Option<i64>>(0)
        })?;
        Ok(earliest.flatten().map(Timestamp))
    }
}

impl Tx<'_> {
    /// Adds a bulk action, whose items are all pending and due at its creation.
    pub fn bulk_action_insert(&mut self, bulk: &BulkAction, cloud_pcs: &[String]) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO bulk_actions (tenant_id, id, display_name, request, in_maintenance_window, requested_by,
               request_id, created_at, pending_count, in_progress_count, succeeded_count, failed_count,
               not_supported_count, open, due_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, 0, 0, 1, ?8)",
            params![
                bulk.tenant_id.0,
                bulk.id.0,
                bulk.display_name,
                json(&bulk.request),
                bulk.in_maintenance_window,
                json(&bulk.requested_by),
                bulk.request_id,
                bulk.created_at.0,
                rows::limit(cloud_pcs.len()),
            ],
        )?;
        for (number, cloud_pc) in cloud_pcs.iter().enumerate() {
            self.execute(
                "INSERT INTO bulk_action_items (tenant_id, bulk_action_id, number, cloud_pc_id, state, due_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    bulk.tenant_id.0,
                    bulk.id.0,
                    rows::limit(number),
                    cloud_pc,
                    word(BulkItemState::Pending),
                    bulk.created_at.0
                ],
            )?;
        }
        self.bulk_action_changed(bulk.tenant_id, bulk.id, ChangeKind::Created);
        self.signal_provisioning();
        Ok(())
    }

    /// Deletes the oldest bulk action of a tenant whose items have all ended, if there is one.
    pub fn bulk_action_delete_oldest(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        let oldest = self.row(
            "SELECT id FROM bulk_actions WHERE tenant_id = ?1 AND open = 0 ORDER BY created_at, id LIMIT 1",
            params![tenant.0],
            |row| Ok(BulkActionId(row.get(0)?)),
        )?;
        let Some(id) = oldest else { return Ok(()) };
        for table in [
            "DELETE FROM bulk_action_items WHERE tenant_id = ?1 AND bulk_action_id = ?2",
            "DELETE FROM bulk_actions WHERE tenant_id = ?1 AND id = ?2",
        ] {
            self.execute(table, params![tenant.0, id.0])?;
        }
        self.bulk_action_changed(tenant, id, ChangeKind::Deleted);
        Ok(())
    }

    /// Changes an item and the counts of its bulk action.
    pub fn bulk_action_item_put(
        &mut self,
        tenant: TenantId,
        id: BulkActionId,
        item: &BulkItem,
        change: &BulkItemChange,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE bulk_action_items SET state = ?4, due_at = ?5, action_id = coalesce(?6, action_id), failure = ?7
             WHERE tenant_id = ?1 AND bulk_action_id = ?2 AND number = ?3",
            params![
                tenant.0,
                id.0,
                item.number,
                word(change.state),
                micros(change.due_at),
                change.action_id.map(|action| action.0),
                json_opt(change.failure.as_ref()),
            ],
        )?;
        self.bulk_action_count_move(tenant, id, item.state, change.state)
    }

    /// Sets when the engine looks at a bulk action next: when its first pending item is due, or
    /// when one of its actions ends.
    pub fn bulk_action_rest(&mut self, tenant: TenantId, id: BulkActionId, is_full: bool) -> Result<(), StoreError> {
        self.execute(
            "UPDATE bulk_actions SET due_at = CASE WHEN ?3 THEN NULL ELSE
               (SELECT min(due_at) FROM bulk_action_items
                WHERE tenant_id = ?1 AND bulk_action_id = ?2 AND due_at IS NOT NULL) END
             WHERE tenant_id = ?1 AND id = ?2",
            params![tenant.0, id.0, is_full],
        )?;
        Ok(())
    }

    /// Makes a bulk action due at `now`.
    pub fn bulk_action_wake(&mut self, tenant: TenantId, id: BulkActionId, now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE bulk_actions SET due_at = ?3 WHERE tenant_id = ?1 AND id = ?2",
            params![tenant.0, id.0, now.0],
        )?;
        self.signal_provisioning();
        Ok(())
    }

    /// Makes everything due at `now` that waits for a maintenance window in a tenant, because the
    /// windows have changed.
    pub fn bulk_action_windows_changed(&mut self, tenant: TenantId, now: Timestamp) -> Result<(), StoreError> {
        for sql in [
            "UPDATE bulk_action_items SET due_at = ?2
             WHERE tenant_id = ?1 AND bulk_action_id IN (SELECT id FROM bulk_actions
               WHERE tenant_id = ?1 AND due_at IS NOT NULL AND in_maintenance_window = 1)
             AND due_at IS NOT NULL AND due_at > ?2",
            "UPDATE bulk_actions SET due_at = ?2
             WHERE tenant_id = ?1 AND due_at IS NOT NULL AND due_at > ?2 AND in_maintenance_window = 1",
        ] {
            self.execute(sql, params![tenant.0, now.0])?;
        }
        self.signal_provisioning();
        Ok(())
    }

    /// Notes the end of an action in the bulk action that it is an item of, which goes on then.
    pub(crate) fn bulk_action_item_ended(&mut self, action: &Action) -> Result<(), StoreError> {
        let Some(id) = action.bulk_action_id else { return Ok(()) };
        let state = BulkItemState::of_action(action.state);
        let changed = self.execute(
            "UPDATE bulk_action_items SET state = ?5, failure = ?6
             WHERE tenant_id = ?1 AND bulk_action_id = ?2 AND state = ?4
             AND number = (SELECT number FROM bulk_action_items WHERE tenant_id = ?1 AND action_id = ?3)",
            params![
                action.tenant_id.0,
                id.0,
                action.id.0,
                word(BulkItemState::InProgress),
                word(state),
                json_opt(action.failure()),
            ],
        )?;
        if changed == 0 {
            return Ok(());
        }
        self.bulk_action_count_move(action.tenant_id, id, BulkItemState::InProgress, state)?;
        self.execute(
            "UPDATE bulk_actions SET due_at = ?3
             WHERE tenant_id = ?1 AND id = ?2 AND pending_count > 0 AND due_at IS NULL",
            params![action.tenant_id.0, id.0, action.updated_at.0],
        )?;
        self.signal_provisioning();
        Ok(())
    }

    fn bulk_action_count_move(
        &mut self,
        tenant: TenantId,
        id: BulkActionId,
        from: BulkItemState,
        to: BulkItemState,
    ) -> Result<(), StoreError> {
        if from == to {
            return Ok(());
        }
        let step = |state| i64::from(to == state) - i64::from(from == state);
        self.execute(
            "UPDATE bulk_actions SET pending_count = pending_count + ?3, in_progress_count = in_progress_count + ?4,
               succeeded_count = succeeded_count + ?5, failed_count = failed_count + ?6,
               not_supported_count = not_supported_count + ?7,
               open = CASE WHEN pending_count + ?3 + in_progress_count + ?4 > 0 THEN 1 ELSE 0 END
             WHERE tenant_id = ?1 AND id = ?2",
            params![
                tenant.0,
                id.0,
                step(BulkItemState::Pending),
                step(BulkItemState::InProgress),
                step(BulkItemState::Succeeded),
                step(BulkItemState::Failed),
                step(BulkItemState::NotSupported),
            ],
        )?;
        self.bulk_action_changed(tenant, id, ChangeKind::Updated);
        Ok(())
    }

    fn bulk_action_changed(&mut self, tenant: TenantId, id: BulkActionId, kind: ChangeKind) {
        self.changed(tenant, Change::new(kind, EntityType::BulkAction, id));
    }
}

fn bulk_action(row: Row<'_>) -> Result<BulkAction, StoreError> {
    let mut columns = Columns::new(row, "bulk_actions");
    Ok(BulkAction {
        tenant_id: TenantId(columns.get()?),
        id: BulkActionId(columns.get()?),
        display_name: columns.get()?,
        request: columns.json()?,
        in_maintenance_window: columns.get()?,
        requested_by: columns.json()?,
        request_id: columns.get()?,
        created_at: columns.time()?,
        counts: BulkCounts {
            pending: columns.get()?,
            in_progress: columns.get()?,
            succeeded: columns.get()?,
            failed: columns.get()?,
            not_supported: columns.get()?,
        },
    })
}

fn bulk_item(row: Row<'_>) -> Result<BulkItem, StoreError> {
    let mut columns = Columns::new(row, "bulk_action_items");
    Ok(BulkItem {
        number: columns.get()?,
        cloud_pc_id: columns.get()?,
        state: columns.word()?,
        action_id: columns.get::<Option<i64>>()?.map(ActionId),
        failure: columns.json_opt()?,
    })
}
