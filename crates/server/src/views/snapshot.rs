//! `cloudPcSnapshot`

use cloudpc_model::{CloudPcId, Snapshot, SnapshotType};
use serde::Serialize;

use super::{Shown, Time};

/// `cloudPcSnapshot`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotView<'a> {
    id: &'a str,
    cloud_pc_id: Shown<CloudPcId>,
    status: &'static str,
    created_date_time: Time,
    last_restored_date_time: Option<Time>,
    snapshot_type: &'static str,
    expiration_date_time: Option<Time>,
    health_check_status: &'static str,
}

/// Returns the view of a restore point.
pub fn snapshot(snapshot: &Snapshot) -> SnapshotView<'_> {
    SnapshotView {
        id: &snapshot.id.0,
        cloud_pc_id: Shown(snapshot.cloud_pc_id),
        status: "ready",
        created_date_time: Time(snapshot.created_at),
        last_restored_date_time: snapshot.last_restored_at.map(Time),
        snapshot_type: match snapshot.snapshot_type {
            SnapshotType::Automatic => "automatic",
            SnapshotType::Manual => "manual",
        },
        expiration_date_time: None,
        health_check_status: "unknown",
    }
}
