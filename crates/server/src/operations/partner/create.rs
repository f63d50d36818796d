//! `POST …/externalPartners`

use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, Partner, PartnerId};
use cloudpc_store::{StoreError, Tx};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

use crate::pipeline::{Answer, Call, Problem, required};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let partner = read(&call)?;
    let (request, new) = (call.clone(), partner.clone());
    let write = move |tx: &mut Tx<'_>| {
        tx.partner_insert(&new).map_err(|error| match error {
            StoreError::Exists(_) => taken(&new.partner_id),
            other => other.into(),
        })?;
        let entry = super::audit(&request, AuditVerb::Create, &new);
        tx.audit_insert(&entry.detail("enableConnection", &new.enable_connection.to_string()))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write(write).await?;
    Ok(call.created(&partner.id.to_string(), &super::view(&call, &partner)))
}

fn read(call: &Call) -> Result<Partner, Problem> {
    call.must_only_give(&["partnerId", "enableConnection"])?;
    let text = call.required_text("partnerId")?;
    let wrong = || GraphError::bad_request(format!("The partner id '{text}' is not a GUID.")).about("partnerId");
    let partner_id = Uuid::parse_str(text).map_err(|_| wrong())?;
    let enable_connection = call.body.get("enableConnection").and_then(Value::as_bool);
    Ok(Partner {
        tenant_id: call.tenant(),
        id: PartnerId::random(&*call.app.rng),
        partner_id: partner_id.to_string(),
        enable_connection: enable_connection.ok_or_else(|| required("enableConnection"))?,
        agent: None,
        allowed_urls: Vec::new(),
        last_sync_at: None,
    })
}

fn taken(partner_id: &str) -> Problem {
    let message = format!("There is an external partner with the partner id '{partner_id}' already.");
    GraphError::new(409, "nameAlreadyExists", message).about("partnerId").into()
}
