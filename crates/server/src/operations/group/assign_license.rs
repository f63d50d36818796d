//! `POST /groups/{id}/assignLicense`

use cloudpc_store::{LicenseHolder, Tx};
use std::sync::Arc;

use super::{Shown, audit, find, set_of};
use crate::operations::license::LicenseChange;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let group = find(&request, tx)?;
        let change = LicenseChange::of(&request)?;
        let entry = |verb| audit(&request, verb, &group);
        change.apply(tx, &request, LicenseHolder::Group(group.id), &entry)?;
        Shown::read(&request, tx, group)
    };
    let shown = call.app.store.write("group.assignLicense", write).await?;
    Ok(call.accepted(&shown.view(set_of(&call))))
}
