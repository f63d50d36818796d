//! `cloudPcConnectivityEvent`

use cloudpc_model::{CloudPcId, HealthEvent};
use serde::Serialize;

use super::Time;

/// `cloudPcConnectivityEvent`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectivityEventView<'a> {
    activity_id: String,
    event_date_time: Time,
    event_name: &'a str,
    event_type: &'static str,
    event_result: &'static str,
    message: &'a str,
}

/// Returns the view of a health event.
pub fn connectivity_event(cloud_pc: CloudPcId, event: &HealthEvent) -> ConnectivityEventView<'_> {
    ConnectivityEventView {
        activity_id: format!("{cloud_pc}-{}", event.id),
        event_date_time: Time(event.at),
        event_name: &event.name,
        event_type: "deviceHealthCheck",
        event_result: if event.well { "success" } else { "failure" },
        message: &event.message,
    }
}
