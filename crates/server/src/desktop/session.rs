//! The record of an open desktop as a remote session, which makes a shared Cloud PC the user's, and
//! whose end releases a frontline one.
//!
//! A failing write never closes a desktop: the record then ends when it was last seen.

use cloudpc_model::{CloudPcId, Error, ErrorKind, RemoteSession, TenantId};

use super::{DesktopAdmission, OpenError};
use crate::app::App;

/// A session that is recorded.
pub(super) struct DesktopSession {
    tenant: TenantId,
    cloud_pc: CloudPcId,
    id: i64,
    user_principal_name: String,
}

impl DesktopSession {
    /// Records that a desktop is open; none if the store cannot.
    ///
    /// # Errors
    /// The shared machine was taken by another user, or is not ready for one.
    pub(super) async fn begin(app: &App, admission: &DesktopAdmission) -> Result<Option<Self>, OpenError> {
        let (tenant, cloud_pc) = (admission.caller.tenant_id, admission.cloud_pc_id);
        let (actor, now) = (admission.caller.actor(), app.clock.now());
        let name = if actor.user_principal_name.is_empty() { actor.app_name } else { actor.user_principal_name };
        let session = RemoteSession {
            id: 0,
            user_principal_name: name.clone(),
            signed_in_at: now,
            signed_out_at: None,
            seen_at: Some(now),
            round_trip_ms: None,
            bandwidth_kbps: None,
            sign_in_ms: None,
        };
        // An administrator who connects through the Cloud PC's own address stays a guest on it.
        let user = admission.owner.filter(|owner| actor.user_id == Some(*owner));
        match app.engine.begin_session(tenant, cloud_pc, user, session, None).await {
            Ok(id) => Ok(Some(Self { tenant, cloud_pc, id, user_principal_name: name })),
            Err(Error { kind: ErrorKind::Conflict | ErrorKind::Forbidden | ErrorKind::NotFound, message, .. }) => {
                Err(OpenError::Taken(message))
            }
            Err(error) => {
                tracing::warn!(%error, %cloud_pc, "a desktop is open that reports will not have");
                Ok(None)
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
        let Self { tenant, cloud_pc, id, user_principal_name } = self;
        if let Err(error) = app.engine.end_session(tenant, cloud_pc, id, user_principal_name).await {
            tracing::warn!(%error, %cloud_pc, "recording that a desktop was closed failed");
        }
    }
}
