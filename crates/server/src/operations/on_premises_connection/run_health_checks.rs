//! `POST …/onPremisesConnections/{id}/runHealthChecks`

use cloudpc_store::Tx;
use std::sync::Arc;

use crate::documents::retry_health_checks;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let connection = super::find(&request, tx)?;
        retry_health_checks(tx, &request, connection)
    };
    call.app.store.write("connection.runHealthChecks", write).await?;
    Ok(Answer::NoContent)
}
