//! `POST …/externalPartners/{id}/cloudpc.setDetection`: sets the command that must succeed in a
//! guest before the agent counts as deployed. An extension of Graph.

use cloudpc_graph::GraphError;
use cloudpc_model::AuditVerb;
use cloudpc_store::Tx;
use serde_json::Value;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem, required};

/// Longest command, in bytes.
pub const COMMAND_BYTES_MAX: usize = 2048;

/// Sets the detection command. A blank command removes it; then only the installer's exit code
/// counts.
pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let mut partner = super::find(&request, tx)?;
        let command = request.body.get("command").and_then(Value::as_str).ok_or_else(|| required("command"))?;
        let detection = parse(command)?;
        let Some(agent) = &mut partner.agent else {
            let message = "The partner has no agent. Call 'configureAgent' first.";
            return Err(GraphError::bad_request(message).into());
        };
        agent.detection = detection;
        tx.partner_update(&partner)?;
        // A command may hold a secret.
        let entry = super::audit(&request, AuditVerb::SetDetection, &partner);
        tx.audit_insert(&entry.secret_changed("command"))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("partner.setDetection", write).await?;
    Ok(Answer::NoContent)
}

fn parse(command: &str) -> Result<Option<String>, GraphError> {
    let wrong = |message: String| Err(GraphError::bad_request(message).about("command"));
    match command {
        blank if blank.trim().is_empty() => Ok(None),
        long if long.len() > COMMAND_BYTES_MAX => {
            wrong(format!("The detection command is too long. It can have up to {COMMAND_BYTES_MAX} bytes."))
        }
        odd if odd.contains('\0') => wrong("The detection command contains a null character. Remove it.".into()),
        command => Ok(Some(command.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detection_command_is_limited() {
        let command = " test -x /usr/bin/agent\n";
        assert_eq!(parse(command).unwrap().as_deref(), Some(command));
        assert_eq!(parse(" ").unwrap(), None);
        assert!(parse(&"x".repeat(COMMAND_BYTES_MAX)).is_ok());
        for wrong in ["a\0b", &"x".repeat(COMMAND_BYTES_MAX + 1)] {
            assert_eq!(parse(wrong).unwrap_err().status, 400, "{wrong:?}");
        }
    }
}
