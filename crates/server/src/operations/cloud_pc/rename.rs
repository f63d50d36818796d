//! `POST …/cloudPCs/{id}/rename`

use cloudpc_graph::{GraphError, is_control_or_bidi};
use cloudpc_model::Params;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

/// Longest display name, in characters.
pub const DISPLAY_NAME_CHARS_MAX: usize = 64;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |call, _| {
        Ok(Params::Rename { display_name: check(call.required_text("displayName")?)?.to_owned() })
    })
    .await
}

fn check(name: &str) -> Result<&str, GraphError> {
    let wrong = |message: String| Err(GraphError::bad_request(message).about("displayName"));
    if name.trim().is_empty() {
        return wrong(format!("The display name is empty. Use 1 to {DISPLAY_NAME_CHARS_MAX} characters."));
    }
    if name.chars().count() > DISPLAY_NAME_CHARS_MAX {
        return wrong(format!("The display name is too long. It can have up to {DISPLAY_NAME_CHARS_MAX} characters."));
    }
    if name.contains(is_control_or_bidi) {
        return wrong("The display name contains a control or text-direction character. Remove it.".into());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_name_is_limited_and_printable() {
        assert!(check(&"ä".repeat(DISPLAY_NAME_CHARS_MAX)).is_ok());
        for name in ["", "  ", "a\u{0}", "a\nb", "a\u{202e}b", "a\u{2066}b", &"a".repeat(DISPLAY_NAME_CHARS_MAX + 1)] {
            assert_eq!(check(name).unwrap_err().target.as_deref(), Some("displayName"), "{name:?}");
        }
    }
}
