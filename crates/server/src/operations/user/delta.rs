//! `GET /users/delta()`

use cloudpc_model::{EntityType, UserId};
use cloudpc_store::Reader;
use std::sync::Arc;

use super::Shown;
use super::list::Users;
use crate::pipeline::list::{DeltaCollection, delta};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    delta(&call, Users::all(call.clone())).await
}

impl DeltaCollection for Users {
    const ENTITY: EntityType = EntityType::User;

    fn find(&self, reader: &Reader<'_>, id: &str) -> Result<Option<Shown>, Problem> {
        let Ok(id) = id.parse::<UserId>() else { return Ok(None) };
        let user = reader.user(self.call.tenant(), id)?;
        user.map(|user| Shown::read(&self.call, reader, user)).transpose()
    }
}
