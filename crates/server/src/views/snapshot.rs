//! `cloudPcSnapshot`

use cloudpc_model::{CloudPcId, Snapshot, SnapshotType};
use cloudpc_store::snapshot_columns as column;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Shown, Time, late_member};
use crate::pipeline::list::ListProperty;

const STATUS: &str = "ready";
const HEALTH_CHECK_STATUS: &str = "unknown";

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
pub fn snapshot(snapshot: &Snapshot, unknown_enum_members: bool) -> SnapshotView<'_> {
    SnapshotView {
        id: &snapshot.id.0,
        cloud_pc_id: Shown(snapshot.cloud_pc_id),
        status: STATUS,
        created_date_time: Time(snapshot.created_at),
        last_restored_date_time: snapshot.last_restored_at.map(Time),
        snapshot_type: match snapshot.snapshot_type {
            SnapshotType::Automatic => "automatic",
            SnapshotType::Manual => "manual",
            // Declared after `unknownFutureValue`.
            SnapshotType::Retention => late_member("retention", unknown_enum_members),
        },
        expiration_date_time: None,
        health_check_status: HEALTH_CHECK_STATUS,
    }
}

/// Returns how the store holds a property that a filter names; none if it cannot select by it.
pub fn property(path: &str) -> Option<ListProperty> {
    Some(match path {
        "id" => ListProperty::text(column::ID),
        "cloudPcId" => ListProperty::Guid(column::CLOUD_PC_ID),
        "status" => ListProperty::Constant(json!(STATUS)),
        "createdDateTime" => ListProperty::Time { column: column::CREATED_AT, nullable: false },
        "lastRestoredDateTime" => ListProperty::Time { column: column::LAST_RESTORED_AT, nullable: true },
        "snapshotType" => ListProperty::text(column::SNAPSHOT_TYPE),
        "expirationDateTime" => ListProperty::Constant(Value::Null),
        "healthCheckStatus" => ListProperty::Constant(json!(HEALTH_CHECK_STATUS)),
        _ => return None,
    })
}
