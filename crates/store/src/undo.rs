//! Undo records: what the undo of an action needs, and when its old disk is due for something.
//!
//! A record is due when the size of its disk is to be measured, when the undo window ends, and
//! again after an attempt without a result. A record whose machine has an open remote action is
//! never due: that action may be the undo itself.

use cloudpc_model::{ActionId, Change, ChangeKind, CloudPcId, EntityType, TenantId, Timestamp, UndoRecord};

use crate::connection::{Row, params};
use crate::rows::{self, Columns, at_rest, json};
use crate::{Reader, StoreError, Tx};

const TABLE: &str = "undo_records";

/// Every column that makes the struct, in its order.
macro_rules! columns {
    () => {
        "tenant_id, cloud_pc_id, action_id, tag_nonce, before, kept_until, size_bytes, dropping"
    };
}

impl Reader<'_> {
    /// The undo record of an action, if the action can still be undone.
    pub fn undo_record(&self, tenant: TenantId, action: ActionId) -> Result<Option<UndoRecord>, StoreError> {
        self.row(
            concat!(
                "SELECT ",
                columns!(),
                " FROM undo_records WHERE action_id = ?2 AND tenant_id = ?1 AND dropping = 0"
            ),
            params![tenant.0, action.0],
            undo_record,
        )
    }

    /// The undo record of a Cloud PC.
    pub fn undo_record_of(&self, tenant: TenantId, target: &str) -> Result<Option<UndoRecord>, StoreError> {
        let Some(line) = self.line(tenant, target)? else { return Ok(None) };
        self.row(
            concat!("SELECT ", columns!(), " FROM undo_records WHERE line_id = ?1 AND dropping = 0"),
            params![line],
            undo_record,
        )
    }

    /// When the next record is due; none if none is.
    pub fn undo_record_next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.row(
            concat!(
                "SELECT due_at FROM undo_records WHERE ",
                at_rest!("undo_records"),
                " ORDER BY due_at, action_id LIMIT 1"
            ),
            params![],
            |row| Columns::new(row, TABLE).time(),
        )
    }
}

impl Tx<'_> {
    /// Adds the undo record of an action, due at once. It replaces the record of its machine, whose
    /// disk is then to be dropped.
    pub fn undo_record_put(&mut self, record: &UndoRecord, now: Timestamp) -> Result<(), StoreError> {
        let (line, _) = self.line_ensure(record.tenant_id, &record.cloud_pc_id.to_string())?;
        let replaced = self.row(
            "SELECT tenant_id, cloud_pc_id, action_id FROM undo_records WHERE line_id = ?1 AND dropping = 0",
            params![line],
            undone,
        )?;
        self.undo_ended(replaced);
        self.execute(
            "UPDATE undo_records SET dropping = 1, due_at = ?2 WHERE line_id = ?1 AND dropping = 0",
            params![line, now.0],
        )?;
        self.execute(
            "INSERT INTO undo_records (action_id, tenant_id, line_id, cloud_pc_id, before, kept_until, size_bytes, dropping, due_at, tag_nonce)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                record.action_id.0,
                record.tenant_id.0,
                line,
                record.cloud_pc_id.0,
                json(&record.before),
                record.kept_until.0,
                record.size_bytes.map(u64::cast_signed),
                record.dropping,
                now.0,
                record.tag_nonce.map(u64::cast_signed),
            ],
        )?;
        Ok(())
    }

    /// Claims up to `limit` due records, and makes each due again at `again_at` in case the attempt
    /// has no result. Records whose window has ended are to be dropped from then on.
    pub fn undo_record_claim(
        &mut self,
        now: Timestamp,
        again_at: Timestamp,
        limit: usize,
    ) -> Result<Vec<UndoRecord>, StoreError> {
        let due: Vec<i64> = self.rows(
            concat!(
                "SELECT action_id FROM undo_records WHERE due_at <= ?1 AND ",
                at_rest!("undo_records"),
                " ORDER BY due_at, action_id LIMIT ?2"
            ),
            params![now.0, rows::limit(limit)],
            |row| row.get(0),
        )?;
        let mut claimed = Vec::with_capacity(due.len());
        for action in due {
            claimed.extend(self.row(
                concat!(
                    "UPDATE undo_records SET dropping = CASE WHEN kept_until <= ?2 THEN 1 ELSE dropping END, due_at = ?3 WHERE action_id = ?1 RETURNING ",
                    columns!()
                ),
                params![action, now.0, again_at.0],
                undo_record,
            )?);
        }
        Ok(claimed)
    }

    /// Stores the sizes of old disks, in bytes; each record is due when its window ends. While all
    /// old disks together exceed `bytes_max`, the oldest that no open action needs is to be
    /// dropped.
    pub fn undo_records_measured(
        &mut self,
        sizes: &[(ActionId, u64)],
        bytes_max: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for (action, size_bytes) in sizes {
            self.execute(
                "UPDATE undo_records SET size_bytes = ?2, due_at = kept_until WHERE action_id = ?1 AND dropping = 0",
                params![action.0, size_bytes.cast_signed()],
            )?;
        }
        let mut kept = self.count(
            "SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM undo_records WHERE dropping = 0 AND size_bytes > 0",
            params![],
        )?;
        while kept > bytes_max {
            let oldest: Option<(i64, i64)> = self.row(
                concat!(
                    "SELECT action_id, size_bytes FROM undo_records WHERE dropping = 0 AND size_bytes > 0 AND ",
                    at_rest!("undo_records"),
                    " ORDER BY action_id LIMIT 1"
                ),
                params![],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let Some((oldest, size_bytes)) = oldest else { break };
            let dropped = self.row(
                "SELECT tenant_id, cloud_pc_id, action_id FROM undo_records WHERE action_id = ?1",
                params![oldest],
                undone,
            )?;
            self.undo_ended(dropped);
            self.execute(
                "UPDATE undo_records SET dropping = 1, due_at = ?2 WHERE action_id = ?1",
                params![oldest, now.0],
            )?;
            kept = kept.saturating_sub(size_bytes.cast_unsigned());
        }
        Ok(())
    }

    /// Makes a record due at `due_at`.
    pub fn undo_record_postpone(&mut self, action: ActionId, due_at: Timestamp) -> Result<(), StoreError> {
        self.execute("UPDATE undo_records SET due_at = ?2 WHERE action_id = ?1", params![action.0, due_at.0])?;
        Ok(())
    }

    /// Deletes a record if it exists: it was used, or its disk is gone.
    pub fn undo_record_delete(&mut self, action: ActionId) -> Result<(), StoreError> {
        let useful = self.row(
            "SELECT tenant_id, cloud_pc_id, action_id FROM undo_records WHERE action_id = ?1 AND dropping = 0",
            params![action.0],
            undone,
        )?;
        self.undo_ended(useful);
        self.execute("DELETE FROM undo_records WHERE action_id = ?1", params![action.0])?;
        Ok(())
    }

    /// Notes that an action can no longer be undone, as its representation shows.
    fn undo_ended(&mut self, ended: Option<(TenantId, CloudPcId, ActionId)>) {
        if let Some((tenant, cloud_pc, action)) = ended {
            let change = Change::new(ChangeKind::Updated, EntityType::Action, action).within(cloud_pc);
            self.changed(tenant, change);
        }
    }
}

/// Reads whose record it was.
fn undone(row: Row<'_>) -> Result<(TenantId, CloudPcId, ActionId), StoreError> {
    let mut columns = Columns::new(row, TABLE);
    Ok((TenantId(columns.get()?), CloudPcId(columns.get()?), ActionId(columns.get()?)))
}

/// Reads the columns of `columns!`.
fn undo_record(row: Row<'_>) -> Result<UndoRecord, StoreError> {
    let mut columns = Columns::new(row, TABLE);
    Ok(UndoRecord {
        tenant_id: TenantId(columns.get()?),
        cloud_pc_id: CloudPcId(columns.get()?),
        action_id: ActionId(columns.get()?),
        tag_nonce: columns.get::<Option<i64>>()?.map(i64::cast_unsigned),
        before: columns.json()?,
        kept_until: columns.time()?,
        size_bytes: columns.get::<Option<i64>>()?.map(i64::cast_unsigned),
        dropping: columns.get()?,
    })
}
