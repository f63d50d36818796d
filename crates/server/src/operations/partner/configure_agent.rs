//! `POST …/externalPartners/{id}/configureAgent`

use cloudpc_drivers::{FetchPolicy, Fetcher};
use cloudpc_graph::GraphError;
use cloudpc_model::{AgentSetting, AuditEntry, AuditVerb, Partner};
use cloudpc_store::{Report, ReportType, Tx};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

use crate::pipeline::{Answer, Call, Problem, required};
use crate::views::partner::MASK;

/// Longest `agentUrl`, in bytes.
pub const AGENT_URL_BYTES_MAX: usize = 2048;
/// Most `installParameters`.
pub const INSTALL_PARAMETERS_MAX: usize = 64;
/// Longest install parameter, in bytes.
pub const INSTALL_PARAMETER_BYTES_MAX: usize = 1024;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let mut partner = super::find(&request, tx)?;
        let given = request.body.get("agentSetting").and_then(Value::as_object);
        let agent = parse(given.ok_or_else(|| required("agentSetting"))?, &partner)?;
        let before = partner.agent.replace(agent.clone());
        tx.partner_update(&partner)?;
        tx.report_insert(&Report {
            id: 0,
            tenant_id: request.tenant(),
            partner_id: partner.id,
            report_type: ReportType::ConfigureAgent,
            actor: request.caller.actor(),
            created_at: request.at,
            target: String::new(),
            cloud_pc_name: String::new(),
            agent_name: agent.agent_name().to_owned(),
            activity_id: None,
            message: "The agent was configured.".into(),
            agent: Some(masked(agent.clone())),
        })?;
        let entry = super::audit(&request, AuditVerb::ConfigureAgent, &partner);
        tx.audit_insert(&agent_changes(entry, before.as_ref(), &agent))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("partner.configureAgent", write).await?;
    Ok(Answer::NoContent)
}

/// Adds the changes of an agent to its audit entry. URL queries and install parameters are omitted,
/// because they may be secret.
fn agent_changes(entry: AuditEntry, before: Option<&AgentSetting>, agent: &AgentSetting) -> AuditEntry {
    let place = |agent: &AgentSetting| agent.url.split(['?', '#']).next().unwrap_or_default().to_owned();
    let auto_deploy = before.map(|before| before.auto_deploy.to_string());
    let entry = entry
        .changed("agentUrl", before.map(place).as_deref(), &place(agent))
        .changed("agentSha256", before.map(|before| &*before.sha256), &agent.sha256)
        .changed("autoDeploymentEnabled", auto_deploy.as_deref(), &agent.auto_deploy.to_string());
    match before.map(|before| &before.install_parameters) == Some(&agent.install_parameters) {
        true => entry,
        false => entry.secret_changed("installParameters"),
    }
}

/// Masks the install parameters for a report. Reports are permanent and must not contain secrets.
fn masked(agent: AgentSetting) -> AgentSetting {
    AgentSetting { install_parameters: vec![MASK.to_owned(); agent.install_parameters.len()], detection: None, ..agent }
}

fn parse(given: &Map<String, Value>, partner: &Partner) -> Result<AgentSetting, GraphError> {
    let text = |name: &str| given.get(name).and_then(Value::as_str).ok_or_else(|| required(name).about(target(name)));
    Ok(AgentSetting {
        url: parse_url(text("agentUrl")?, partner)?,
        sha256: parse_sha256(text("agentSha256")?)?,
        install_parameters: parse_install_parameters(given.get("installParameters"))?,
        auto_deploy: given.get("autoDeploymentEnabled").and_then(Value::as_bool).unwrap_or(false),
        detection: partner.agent.as_ref().and_then(|agent| agent.detection.clone()),
    })
}

fn parse_url(text: &str, partner: &Partner) -> Result<String, GraphError> {
    let wrong = |why: &str| GraphError::bad_request(format!("Invalid agent URL: {why}")).about(target("agentUrl"));
    if text.len() > AGENT_URL_BYTES_MAX {
        return Err(wrong(&format!("it has more than {AGENT_URL_BYTES_MAX} bytes.")));
    }
    let url = Url::parse(text).map_err(|error| wrong(&format!("{error}.")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it contains a user name or password, which everyone who can read the partner would see."));
    }
    // Only the destination is checked here; size and time limits apply to the download.
    let policy =
        FetchPolicy { allowed_urls: partner.allowed_urls.clone(), size_bytes_max: u64::MAX, time_max: Duration::MAX };
    Fetcher::check(&url, &policy).map_err(|why| wrong(&why))?;
    Ok(text.to_owned())
}

/// Validates a SHA-256. It is compared without case and returned in the caller's spelling.
fn parse_sha256(text: &str) -> Result<String, GraphError> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_owned());
    }
    let seen = match text.chars().count() {
        64 => "this one has other characters".to_owned(),
        count => format!("this one has {count} characters"),
    };
    let message = format!("The agent's SHA-256 must be 64 hexadecimal digits; {seen}.");
    Err(GraphError::bad_request(message).about(target("agentSha256")))
}

fn parse_install_parameters(given: Option<&Value>) -> Result<Vec<String>, GraphError> {
    let wrong = |message: String| GraphError::bad_request(message).about(target("installParameters"));
    let given = given.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if given.len() > INSTALL_PARAMETERS_MAX {
        return Err(wrong(format!(
            "The request has {} install parameters. At most {INSTALL_PARAMETERS_MAX} are allowed.",
            given.len()
        )));
    }
    let check = |value: &Value| match value.as_str() {
        None => Err(wrong("An install parameter is not a string.".into())),
        Some(text) if text.len() > INSTALL_PARAMETER_BYTES_MAX => Err(wrong(format!(
            "An install parameter is too long. It can have up to {INSTALL_PARAMETER_BYTES_MAX} bytes."
        ))),
        Some(text) if text.contains('\0') => {
            Err(wrong("An install parameter contains a null character. Remove it.".into()))
        }
        // A client that sends a masked setting back would overwrite the parameters by mistake.
        Some(MASK) => Err(wrong(format!("'{MASK}' masks a hidden install parameter. Send the parameter itself."))),
        Some(text) => Ok(text.to_owned()),
    };
    given.iter().map(check).collect()
}

fn target(name: &str) -> String {
    format!("agentSetting/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn checksum_must_be_64_hexadecimal_digits() {
        assert_eq!(parse_sha256(&"aB".repeat(32)).unwrap(), "aB".repeat(32));
        for wrong in ["", "ab", &"ab".repeat(33), &"xy".repeat(32), &"é".repeat(32)] {
            assert_eq!(parse_sha256(wrong).unwrap_err().status, 400, "{wrong}");
        }
        assert!(parse_sha256(&"xy".repeat(32)).unwrap_err().message.ends_with("; this one has other characters."));
        assert!(parse_sha256(&"ab".repeat(33)).unwrap_err().message.ends_with("; this one has 66 characters."));
    }

    #[test]
    fn install_parameters_are_limited() {
        let check = |value: Value| parse_install_parameters(Some(&value)).map(|parameters| parameters.len());
        assert_eq!(parse_install_parameters(None).unwrap(), Vec::<String>::new());
        assert_eq!(check(json!(vec!["/quiet"; INSTALL_PARAMETERS_MAX])).unwrap(), INSTALL_PARAMETERS_MAX);
        assert!(check(json!(vec!["/quiet"; INSTALL_PARAMETERS_MAX + 1])).is_err());
        assert!(check(json!(["x".repeat(INSTALL_PARAMETER_BYTES_MAX)])).is_ok());
        assert!(check(json!(["x".repeat(INSTALL_PARAMETER_BYTES_MAX + 1)])).is_err());
        assert!(check(json!(["a\u{0}b"])).is_err());
        assert!(check(json!([MASK])).is_err());
    }
}
