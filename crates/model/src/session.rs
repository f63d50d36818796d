//! Remote sessions: when a user was connected to a Cloud PC, and what was measured meanwhile.

use crate::Timestamp;

/// A connection of a user to a Cloud PC. What was not measured is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSession {
    /// Number within the Cloud PC, assigned by the store; zero before.
    pub id: i64,
    /// User principal name of the user, or the name of the application, that was connected.
    pub user_principal_name: String,
    /// When the session began.
    pub signed_in_at: Timestamp,
    /// When it ended; none while it lasts.
    pub signed_out_at: Option<Timestamp>,
    /// When the service last saw the session open; none if nothing watches it.
    pub seen_at: Option<Timestamp>,
    /// Median round trip between client and machine, milliseconds.
    pub round_trip_ms: Option<i64>,
    /// Median bandwidth available to the session, kilobytes per second.
    pub bandwidth_kbps: Option<i64>,
    /// Time from the request of the connection to the desktop, milliseconds.
    pub sign_in_ms: Option<i64>,
}

impl RemoteSession {
    /// Returns how long the session lasted, or has lasted until now, in microseconds.
    pub fn micros(&self, now: Timestamp) -> i64 {
        (self.signed_out_at.unwrap_or(now).0 - self.signed_in_at.0).max(0)
    }
}
