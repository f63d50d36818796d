//! `POST …/externalPartners`

use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, Partner, PartnerId};
use cloudpc_store::{StoreError, Tx};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

use crate::pipeline::{Answer, Call, Problem, required};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let partner = create(&call).await?;
    Ok(call.created(&partner.id.to_string(), &super::view(&call, &partner)))
}

/// Creates the partner of a request.
pub(in crate::operations) async fn create(call: &Arc<Call>) -> Result<Partner, Problem> {
    let partner = parse(call)?;
    let (request, new) = (call.clone(), partner.clone());
    let write = move |tx: &mut Tx<'_>| {
        tx.partner_insert(&new).map_err(|error| match error {
            StoreError::Exists(_) => already_exists(&new.partner_id),
            other => other.into(),
        })?;
        let entry = super::audit(&request, AuditVerb::Create, &new);
        tx.audit_insert(&entry.detail("enableConnection", &new.enable_connection.to_string()))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("partner.create", write).await?;
    Ok(partner)
}

fn parse(call: &Call) -> Result<Partner, Problem> {
    call.reject_other_properties(&["partnerId", "enableConnection"])?;
    let text = call.required_text("partnerId")?;
    // The id is stored and returned in the caller's spelling. Only the hyphenated form is accepted.
    if text.len() != 36 || Uuid::parse_str(text).is_err() {
        let form = "Use one such as 8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19";
        let message = format!("The partner id '{text}' is not a GUID. {form}.");
        return Err(GraphError::bad_request(message).about("partnerId").into());
    }
    let enable_connection = call.body.get("enableConnection").and_then(Value::as_bool);
    Ok(Partner {
        tenant_id: call.tenant(),
        id: PartnerId::random(&*call.app.rng),
        partner_id: text.to_owned(),
        enable_connection: enable_connection.ok_or_else(|| required("enableConnection"))?,
        agent: None,
        allowed_urls: Vec::new(),
        last_sync_at: None,
    })
}

fn already_exists(partner_id: &str) -> Problem {
    let message = format!("An external partner with the partner id '{partner_id}' already exists.");
    GraphError::new(409, "nameAlreadyExists", message).about("partnerId").into()
}
