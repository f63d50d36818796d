//! The record of an open desktop as a remote session, for reports.
//!
//! A failing write never closes a desktop: the record then ends when it was last seen.

use cloudpc_model::{CloudPcId, RemoteSession, TenantId};

use super::DesktopAdmission;
use crate::app::App;

/// A session that is recorded.
pub(super) struct DesktopSession {
    tenant: TenantId,
    cloud_pc: CloudPcId,
    id: i64,
}

impl DesktopSession {
    /// Records that a desktop is open.
    pub(super) async fn begin(app: &App, admission: &DesktopAdmission) -> Option<Self> {
        let (tenant, cloud_pc) = (admission.caller.tenant_id, admission.cloud_pc_id);
        let (actor, now) = (admission.caller.actor(), app.clock.now());
        let name = if actor.user_principal_name.is_empty() { actor.app_name } else { actor.user_principal_name };
        let session = RemoteSession {
            id: 0,
            user_principal_name: name,
            signed_in_at: now,
            signed_out_at: None,
            seen_at: Some(now),
            round_trip_ms: None,
            bandwidth_kbps: None,
            sign_in_ms: None,
        };
        let insert =
            app.store.write("desktop.sessionBegin", move |tx| tx.remote_session_insert(tenant, cloud_pc, &session));
        match insert.await {
            Ok(id) => Some(Self { tenant, cloud_pc, id }),
            Err(error) => {
                tracing::warn!(%error, %cloud_pc, "a desktop is open that reports will not have");
                None
            }
        }
    }

    /// Records that the desktop is still open.
    pub(super) async fn seen(&self, app: &App) {
        let (tenant, cloud_pc, id, now) = (self.tenant, self.cloud_pc, self.id, app.clock.now());
        let seen = app.store.write("desktop.sessionSeen", move |tx| tx.remote_session_seen(tenant, cloud_pc, id, now));
        if let Err(error) = seen.await {
            tracing::warn!(%error, %cloud_pc, "recording that a desktop is open failed");
        }
    }

    /// Records that the desktop is closed.
    pub(super) async fn end(self, app: &App) {
        let (tenant, cloud_pc, id, now) = (self.tenant, self.cloud_pc, self.id, app.clock.now());
        let end = app.store.write("desktop.sessionEnd", move |tx| tx.remote_session_end(tenant, cloud_pc, id, now));
        if let Err(error) = end.await {
            tracing::warn!(%error, %cloud_pc, "recording that a desktop was closed failed");
        }
    }
}
