//! `GET …/cloudPCs/delta()`

use cloudpc_model::{Change, CloudPcId, EntityType};
use cloudpc_store::Reader;
use std::sync::Arc;

use super::list::{CloudPcs, row};
use crate::pipeline::list::{DeltaCollection, delta};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::cloud_pc::CloudPcRow;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    delta(&call, CloudPcs::new(&call)).await
}

impl DeltaCollection for CloudPcs {
    const ENTITY: EntityType = EntityType::CloudPc;

    /// A Cloud PC shows its last remote action.
    fn changed_by(&self, change: &Change) -> Option<String> {
        (change.entity_type == EntityType::Action).then(|| change.parent.clone())
    }

    fn visibility(&self) -> String {
        self.scope.fingerprint()
    }

    fn find(&self, reader: &Reader<'_>, id: &str) -> Result<Option<CloudPcRow>, Problem> {
        let Ok(id) = id.parse::<CloudPcId>() else { return Ok(None) };
        let cloud_pc = reader.cloud_pc(self.call.tenant(), id)?.filter(|cloud_pc| self.scope.includes(cloud_pc));
        cloud_pc.map(|cloud_pc| row(reader, self.call.tenant(), cloud_pc, self.wanted)).transpose()
    }
}
