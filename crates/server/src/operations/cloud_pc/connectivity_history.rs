//! `GET …/cloudPCs/{id}/getCloudPcConnectivityHistory`

use cloudpc_model::{CloudPcId, HealthEvent};
use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;

use crate::pipeline::list::{Collection, PropertySet, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::connectivity::connectivity_event;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, ConnectivityEvents { call: call.clone(), cloud_pc: CloudPcId(Uuid::nil()) }).await
}

/// The health events of a Cloud PC, newest first.
struct ConnectivityEvents {
    call: Arc<Call>,
    cloud_pc: CloudPcId,
}

impl Collection for ConnectivityEvents {
    type Row = HealthEvent;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        self.cloud_pc = super::find(&self.call, reader)?.id;
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<HealthEvent>, Problem> {
        let before = position.map(str::parse).transpose().map_err(|_| invalid_skip_token())?;
        Ok(reader.health_event_list(self.call.tenant(), self.cloud_pc, before, limit)?)
    }

    fn position(&self, row: &HealthEvent) -> String {
        row.id.to_string()
    }

    fn view<'a>(&'a self, row: &'a HealthEvent, _: PropertySet) -> impl Serialize + 'a {
        connectivity_event(self.cloud_pc, row)
    }
}
