//! `POST /users/{id}/assignLicense`

use cloudpc_store::{LicenseHolder, Tx};
use std::sync::Arc;

use super::{Shown, audit, find, set_of};
use crate::operations::license::LicenseChange;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let user = find(&request, tx)?;
        let change = LicenseChange::of(&request)?;
        let entry = |verb| audit(&request, verb, &user);
        change.apply(tx, &request, LicenseHolder::User(user.id), &entry)?;
        Shown::read(&request, tx, user)
    };
    let shown = call.app.store.write("user.assignLicense", write).await?;
    Ok(call.entity(&shown.whole(set_of(&call))))
}
