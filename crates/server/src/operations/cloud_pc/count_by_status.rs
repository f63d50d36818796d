//! `GET …/cloudPCs/retrieveCloudPcCountByStatus`

use cloudpc_model::{CloudPcId, CloudPcStatus};
use cloudpc_store::Reader;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

use crate::pipeline::list::in_memory;
use crate::pipeline::{Answer, Call, Problem};
use crate::rbac::CloudPcScope;
use crate::views::cloud_pc::status;

/// Cloud PCs per query.
const CHUNK_ROWS: usize = 1000;

/// `cloudPcStatusSummary`
#[derive(Clone, Copy, Debug, Serialize)]
struct Summary {
    status: &'static str,
    count: u32,
}

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let counts = call.store().read(move |reader| counts(&request, reader)).await?;
    let mut summary: Vec<Summary> = Vec::new();
    for (of, count) in counts {
        // Members that the client may not know have one name together.
        let status = status(of, call.names_late_members());
        match summary.iter_mut().find(|other| other.status == status) {
            Some(other) => other.count += count,
            None => summary.push(Summary { status, count }),
        }
    }
    summary.sort_unstable_by_key(|summary| summary.status);
    in_memory(&call, summary).await
}

fn counts(call: &Call, reader: &Reader<'_>) -> Result<HashMap<CloudPcStatus, u32>, Problem> {
    let owner = super::owner(call, reader)?;
    let scope = CloudPcScope::read(reader, call.tenant(), &call.scope_tags)?;
    let mut counts = HashMap::new();
    let mut after: Option<CloudPcId> = None;
    loop {
        let cloud_pcs = reader.cloud_pc_list(call.tenant(), owner, after, CHUNK_ROWS)?;
        let seen = cloud_pcs.iter().filter(|cloud_pc| scope.includes(cloud_pc));
        seen.for_each(|cloud_pc| *counts.entry(cloud_pc.status).or_default() += 1);
        if cloud_pcs.len() < CHUNK_ROWS {
            return Ok(counts);
        }
        after = cloud_pcs.last().map(|cloud_pc| cloud_pc.id);
    }
}
