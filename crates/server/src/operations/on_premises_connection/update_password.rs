//! `POST …/onPremisesConnections/{id}/updateAdDomainPassword`

use cloudpc_graph::GraphError;
use cloudpc_store::Tx;
use serde_json::Value;
use std::sync::Arc;

use crate::documents::replace_secret;
use crate::pipeline::{Answer, Call, Problem, required};

const PASSWORD: &str = "adDomainPassword";

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    if call.required_text(PASSWORD)?.is_empty() {
        return Err(required(PASSWORD).into());
    }
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let connection = super::find(&request, tx)?;
        if connection.body.get("connectionType").and_then(Value::as_str) != Some("hybridAzureADJoin") {
            let message = format!(
                "The connection '{}' is not hybrid, so it has no domain password. Only connections of the type 'hybridAzureADJoin' have one.",
                connection.key.id
            );
            return Err(GraphError::bad_request(message).about(PASSWORD).into());
        }
        replace_secret(tx, &request, &connection, PASSWORD)
    };
    call.app.store.write("connection.updatePassword", write).await?;
    Ok(Answer::NoContent)
}
