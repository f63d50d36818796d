//! `POST …/externalPartners/{id}/cloudpc.allowUrls`: replaces the URL prefixes from which the
//! partner's agent may be downloaded. An extension of Graph.
//!
//! A prefix also allows hosts in the service's private network. Only the owner of the installation
//! may set it, because a tenant's administrator must not reach that network.

use cloudpc_graph::GraphError;
use cloudpc_model::AuditVerb;
use cloudpc_store::Tx;
use serde_json::Value;
use std::sync::Arc;
use url::Url;

use crate::pipeline::{Answer, Call, Problem, required};

/// Most prefixes of a partner.
pub const URLS_MAX: usize = 100;
/// Longest prefix, in bytes.
pub const URL_BYTES_MAX: usize = 2048;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let mut partner = super::find(&request, tx)?;
        let given = request.body.get("urls").and_then(Value::as_array).ok_or_else(|| required("urls"))?;
        let before = partner.allowed_urls.join(" ");
        partner.allowed_urls = parse(given)?;
        if !request.caller.is_owner {
            let problem =
                "Only the owner of the installation can set the allowed URLs, because they open the service's network.";
            return Err(GraphError::new(403, "Forbidden", problem).into());
        }
        tx.partner_update(&partner)?;
        let entry = super::audit(&request, AuditVerb::AllowUrls, &partner);
        tx.audit_insert(&entry.changed("urls", Some(&before), &partner.allowed_urls.join(" ")))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("partner.allowUrls", write).await?;
    Ok(Answer::NoContent)
}

fn parse(given: &[Value]) -> Result<Vec<String>, GraphError> {
    let wrong = |message: String| GraphError::bad_request(message).about("urls");
    if given.len() > URLS_MAX {
        return Err(wrong(format!("The request has {} URL prefixes. At most {URLS_MAX} are allowed.", given.len())));
    }
    let check = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        let url = Url::parse(text).map_err(|error| wrong(format!("'{text}' is not a URL prefix: {error}.")))?;
        // Without a path, `https://host` would also allow `https://host.elsewhere`.
        let whole_host = text.splitn(4, '/').count() == 4;
        if text.len() > URL_BYTES_MAX || !matches!(url.scheme(), "https" | "http") || !whole_host {
            let form = "http or https, with at least one slash after the host";
            return Err(wrong(format!(
                "'{text}' is not a URL prefix: expected {form}, in up to {URL_BYTES_MAX} bytes."
            )));
        }
        // No fetched URL would match them, and the audit log would show them.
        let has_more = url.query().is_some() || url.fragment().is_some();
        if has_more || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(format!(
                "A URL prefix on '{}' contains a user, password, query or fragment. Remove them: a prefix is a scheme, a host \
                 and the beginning of a path.",
                url.host_str().unwrap_or_default()
            )));
        }
        Ok(text.to_owned())
    };
    given.iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn url_prefix_includes_the_full_host_and_is_limited() {
        assert_eq!(parse(&[json!("https://agents.contoso.test/v1/")]).unwrap().len(), 1);
        for wrong in ["", "agents", "https://agents.contoso.test", "file:///etc/", "ftp://a/"] {
            assert_eq!(parse(&[json!(wrong)]).unwrap_err().status, 400, "{wrong}");
        }
        for secret in [
            "https://top-secret@agents.contoso.test/",
            "https://:top-secret@agents.contoso.test/",
            "https://agents.contoso.test/?sig=top-secret",
            "https://agents.contoso.test/?",
            "https://agents.contoso.test/#top-secret",
        ] {
            let refused = parse(&[json!(secret)]).unwrap_err();
            assert!(refused.status == 400 && !refused.message.contains("secret"), "{secret}: {}", refused.message);
        }
        let many = |count| vec![json!("https://agents.contoso.test/"); count];
        assert!(parse(&many(URLS_MAX)).is_ok());
        assert!(parse(&many(URLS_MAX + 1)).is_err());
        let long = |bytes| json!(format!("{:a<bytes$}", "https://h/"));
        assert!(parse(&[long(URL_BYTES_MAX)]).is_ok());
        assert!(parse(&[long(URL_BYTES_MAX + 1)]).is_err());
    }
}
