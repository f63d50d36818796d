//! `GET /groups/delta()`

use cloudpc_model::{EntityType, GroupId};
use cloudpc_store::Reader;
use std::sync::Arc;

use super::Shown;
use super::list::Groups;
use crate::pipeline::list::{DeltaCollection, delta};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    delta(&call, Groups(call.clone())).await
}

impl DeltaCollection for Groups {
    const ENTITY: EntityType = EntityType::Group;

    fn find(&self, reader: &Reader<'_>, id: &str) -> Result<Option<Shown>, Problem> {
        let Ok(id) = id.parse::<GroupId>() else { return Ok(None) };
        let group = reader.group(self.0.tenant(), id)?;
        group.map(|group| Shown::read(&self.0, reader, group)).transpose()
    }
}
