//! Remote sessions: who was connected to which Cloud PC, and when.

use cloudpc_model::{CloudPcId, RemoteSession, TenantId, Timestamp};

use crate::connection::{Row, params};
use crate::counters::Counter;
use crate::rows::{self, Columns, guid_after, micros};
use crate::{Reader, StoreError, Tx};

/// Remote sessions that a Cloud PC keeps; the oldest are deleted.
pub const REMOTE_SESSIONS_MAX: i64 = 1000;

macro_rules! columns {
    () => {
        "id, user_principal_name, signed_in_at, signed_out_at, seen_at, round_trip_ms, bandwidth_kbps, sign_in_ms"
    };
}

impl Reader<'_> {
    /// Lists the remote sessions of a Cloud PC, newest first, numbered below `before`.
    pub fn remote_session_list(
        &self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<RemoteSession>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM remote_sessions WHERE tenant_id = ?1 AND cloud_pc_id = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4"
            ),
            params![tenant.0, cloud_pc.0, before.unwrap_or(i64::MAX), rows::limit(limit)],
            remote_session,
        )
    }

    /// Lists the remote sessions of a tenant by Cloud PC, those after a Cloud PC's session of this
    /// number.
    pub fn remote_session_list_all(
        &self,
        tenant: TenantId,
        after: Option<(CloudPcId, i64)>,
        limit: usize,
    ) -> Result<Vec<(CloudPcId, RemoteSession)>, StoreError> {
        let (cloud_pc, number) = after.map_or((None, 0), |(cloud_pc, number)| (Some(cloud_pc.0), number));
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                ", cloud_pc_id FROM remote_sessions
                 WHERE tenant_id = ?1 AND (cloud_pc_id, id) > (?2, ?3) ORDER BY cloud_pc_id, id LIMIT ?4"
            ),
            params![tenant.0, guid_after(cloud_pc), number, rows::limit(limit)],
            |row| Ok((CloudPcId(row.get(8)?), remote_session(row)?)),
        )
    }

    /// Returns whether a user is connected to a Cloud PC.
    pub fn remote_session_is_open(
        &self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        user_principal_name: &str,
    ) -> Result<bool, StoreError> {
        let found = self.row(
            "SELECT 1 FROM remote_sessions WHERE tenant_id = ?1 AND cloud_pc_id = ?2 AND signed_out_at IS NULL
             AND user_principal_name = ?3 LIMIT 1",
            params![tenant.0, cloud_pc.0, user_principal_name],
            |row| row.get::<i64>(0),
        )?;
        Ok(found.is_some())
    }
}

impl Tx<'_> {
    /// Adds a remote session, which the store numbers. Deletes the oldest of the Cloud PC if there
    /// are too many. Returns its number.
    pub fn remote_session_insert(
        &mut self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        session: &RemoteSession,
    ) -> Result<i64, StoreError> {
        let id = self.next_number(tenant, Counter::RemoteSession, cloud_pc.0)?;
        self.execute(
            "INSERT INTO remote_sessions (tenant_id, cloud_pc_id, id, user_principal_name, signed_in_at, signed_out_at,
                 seen_at, round_trip_ms, bandwidth_kbps, sign_in_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                tenant.0,
                cloud_pc.0,
                id,
                session.user_principal_name,
                session.signed_in_at.0,
                micros(session.signed_out_at),
                micros(session.seen_at),
                session.round_trip_ms,
                session.bandwidth_kbps,
                session.sign_in_ms
            ],
        )?;
        self.execute(
            "DELETE FROM remote_sessions WHERE tenant_id = ?1 AND cloud_pc_id = ?2 AND id <= ?3",
            params![tenant.0, cloud_pc.0, id - REMOTE_SESSIONS_MAX],
        )?;
        Ok(id)
    }

    /// Notes that the service sees an open session.
    pub fn remote_session_seen(
        &mut self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        id: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE remote_sessions SET seen_at = ?4
             WHERE tenant_id = ?1 AND cloud_pc_id = ?2 AND id = ?3 AND signed_out_at IS NULL",
            params![tenant.0, cloud_pc.0, id, now.0],
        )?;
        Ok(())
    }

    /// Ends a session that is open.
    pub fn remote_session_end(
        &mut self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        id: i64,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE remote_sessions SET signed_out_at = ?4
             WHERE tenant_id = ?1 AND cloud_pc_id = ?2 AND id = ?3 AND signed_out_at IS NULL",
            params![tenant.0, cloud_pc.0, id, at.0],
        )?;
        Ok(())
    }

    /// Ends all open sessions of a Cloud PC. Returns how many there were.
    pub fn remote_sessions_end(
        &mut self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        at: Timestamp,
    ) -> Result<usize, StoreError> {
        self.execute(
            "UPDATE remote_sessions SET signed_out_at = ?3
             WHERE tenant_id = ?1 AND cloud_pc_id = ?2 AND signed_out_at IS NULL",
            params![tenant.0, cloud_pc.0, at.0],
        )
    }

    /// Ends the watched sessions that an earlier process left open, at the time at which it last
    /// saw them. Returns the Cloud PC and user of each.
    pub fn remote_sessions_end_watched(&mut self) -> Result<Vec<(TenantId, CloudPcId, String)>, StoreError> {
        self.rows(
            "UPDATE remote_sessions SET signed_out_at = seen_at WHERE signed_out_at IS NULL AND seen_at IS NOT NULL
             RETURNING tenant_id, cloud_pc_id, user_principal_name",
            params![],
            |row| Ok((TenantId(row.get(0)?), CloudPcId(row.get(1)?), row.get(2)?)),
        )
    }
}

fn remote_session(row: Row<'_>) -> Result<RemoteSession, StoreError> {
    let mut columns = Columns::new(row, "remote_sessions");
    Ok(RemoteSession {
        id: columns.get()?,
        user_principal_name: columns.get()?,
        signed_in_at: columns.time()?,
        signed_out_at: columns.time_opt()?,
        seen_at: columns.time_opt()?,
        round_trip_ms: columns.get()?,
        bandwidth_kbps: columns.get()?,
        sign_in_ms: columns.get()?,
    })
}
