//! Errors of operations and their mapping to Graph errors.

use cloudpc_graph::GraphError;
use cloudpc_identity::AuthenticationError;
use cloudpc_model::ErrorKind;
use cloudpc_store::StoreError;
use std::error::Error as StdError;

/// All values of `error.code` that this server sends. `docs/ERRORS.md` has an entry for each.
pub const CODES: &[&str] = &[
    "BadRequest",
    "InvalidAuthenticationToken",
    "Forbidden",
    "ResourceNotFound",
    "notSimulated",
    "Request_BadRequest",
    "RequestTimeout",
    "scanLimitReached",
    "nameAlreadyExists",
    "quotaLimitReached",
    "resourceInUse",
    "resourceChanged",
    "requestAlreadyAccepted",
    "resyncRequired",
    "PreconditionFailed",
    "remoteActionInProgress",
    "cloudPcStatusNotAllowed",
    "userAccessRestricted",
    "noLicensesAvailable",
    "frontlineNotStarted",
    "sharedCloudPc",
    "sharedCloudPcNotFree",
    "sharedCloudPcHeld",
    "notMemberOfGroup",
    "importNotSupported",
    "noDisplay",
    "imageNotOnHost",
    "imageInUse",
    "imageStatusNotAllowed",
    "partnerConnectionDisabled",
    "agentNotConfigured",
    "notInGracePeriod",
    "nothingToUndo",
    "undoWindowPassed",
    "tooLateToCancel",
    "notStuck",
    "TooManyRequests",
    "NotAcceptable",
    "MisdirectedRequest",
    "RequestEntityTooLarge",
    "RequestUriTooLong",
    "UnsupportedMediaType",
    "FailedDependency",
    "batchAnswerTooLarge",
    "InternalServerError",
    "NotImplemented",
    "ServiceUnavailable",
];

/// An error of an operation.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The request is invalid.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The engine or a domain rule rejected the request.
    #[error(transparent)]
    Domain(#[from] cloudpc_model::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Problem {
    /// Returns 404 for an id that does not exist or belongs to another tenant.
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::Graph(GraphError::new(404, "ResourceNotFound", format!("There is no {what} with the id '{id}'.")))
    }

    /// Converts the error into the one sent to the client. Causes that the client must not see are
    /// logged here, once.
    pub(crate) fn into_graph(self, operation: &str, request_id: &str) -> GraphError {
        match self {
            Self::Graph(error) => error,
            Self::Store(error) => Self::Domain(error.into()).into_graph(operation, request_id),
            Self::Domain(error) => {
                // An error with a hidden cause needs an operator's attention, unless the store has
                // called for it.
                let cause = error.source.as_deref().and_then(|cause| cause.downcast_ref::<StoreError>());
                if error.source.is_some() && !cause.is_some_and(StoreError::is_disk_refusal) {
                    log(operation, request_id, &error);
                }
                GraphError::new(status(error.kind), error.code, error.message)
            }
        }
    }
}

/// Returns the error that is sent to a caller without a valid token. The edge adds
/// `WWW-Authenticate` to 401.
pub(crate) fn authentication_error(error: AuthenticationError) -> GraphError {
    match error {
        AuthenticationError::Rejected(why) => GraphError::new(401, "InvalidAuthenticationToken", why),
        AuthenticationError::Unavailable(why) => GraphError::new(503, "ServiceUnavailable", why),
    }
}

fn status(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::NotFound => 404,
        ErrorKind::Conflict => 409,
        ErrorKind::Invalid => 400,
        ErrorKind::Forbidden => 403,
        ErrorKind::Unavailable => 503,
        ErrorKind::Internal => 500,
    }
}

fn log(operation: &str, request_id: &str, error: &dyn StdError) {
    tracing::error!(operation, request.id = request_id, error = with_causes(error), "request failed");
}

/// Returns the text of an error and of its causes, each said once: some errors quote their cause.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_page_has_an_entry_for_each_code() {
        let page = include_str!("../../../../docs/ERRORS.md");
        let entries = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
        let (mut entries, mut codes) = (entries.collect::<Vec<_>>(), CODES.to_vec());
        entries.sort_unstable();
        codes.sort_unstable();
        assert_eq!(entries, codes);
    }

    #[test]
    fn log_says_each_cause_once() {
        let cause = || StoreError::Directory(std::io::Error::other("no such device"));
        let error = cloudpc_model::Error::internal(cause());
        assert!(with_causes(&error).ends_with(": it cannot be used: no such device"), "{}", with_causes(&error));
        assert_eq!(with_causes(&cause()), "it cannot be used: no such device");
    }

    #[test]
    fn internal_cause_is_not_sent_to_the_client() {
        let problem = Problem::Domain(cloudpc_model::Error::internal("the disk is on fire"));
        let error = problem.into_graph("cloudPC.list", "1");
        assert_eq!((error.status, error.code.as_str()), (500, "InternalServerError"));
        assert!(!error.message.contains("fire"));
        assert_eq!(Problem::Store(StoreError::Closed).into_graph("cloudPC.list", "1").status, 503);
    }
}
