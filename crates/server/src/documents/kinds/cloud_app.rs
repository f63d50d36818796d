//! `cloudPcCloudApp`: the applications of policies whose users get single applications.
//!
//! cloudpc keeps the books of them. Nothing discovers applications in an image, and nobody opens
//! one: users get the whole desktop.

use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentKey, DocumentType, Object, ReferenceStrength, TenantId};
use cloudpc_store::Reader;
use serde_json::{Value, json};

use super::rights;
use crate::documents::kind::Const::Texts;
use crate::documents::kind::Fact::{CharsMax, Computed, CreatedAt, Default, Immutable, Reference, Required};
use crate::documents::kind::{DOCUMENTS_MAX, DocumentChange, DocumentKind, Hooks, Rights, WRITABLE};
use crate::pipeline::{Problem, required};

static RIGHTS: Rights = rights("CloudApps");

/// The type of an application that is named by the path of its file.
const FILE_PATH: &str = "#microsoft.graph.cloudPcFilePathAppDetail";

/// `cloudPcCloudApp`
pub(super) static CLOUD_APP: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcCloudApp,
    "/deviceManagement/virtualEndpoint/cloudApps",
    &RIGHTS,
    WRITABLE,
    &[
        Required("displayName"),
        CharsMax("displayName", 64),
        CharsMax("description", 512),
        Required("provisioningPolicyId"),
        Immutable("provisioningPolicyId"),
        Reference("provisioningPolicyId", DocumentType::CloudPcProvisioningPolicy, ReferenceStrength::Holds),
        Required("appDetail"),
        CharsMax("appDetail/commandLineArguments", 2_048),
        CharsMax("appDetail/filePath", 1_024),
        CharsMax("appDetail/iconPath", 1_024),
        Default("scopeIds", Texts(&["0"])),
        Computed("actionFailedErrorCode"),
        Computed("actionFailedErrorMessage"),
        Computed("appStatus"),
        Computed("availableToUser"),
        Computed("discoveredAppName"),
        Computed("lastPublishedDateTime"),
        CreatedAt("addedDateTime"),
    ],
)
.hooks(&AppHooks);

struct AppHooks;

impl Hooks for AppHooks {
    fn check(&self, reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        check_detail(&change.new.body)?;
        if change.old.is_none() {
            check_policy(reader, change.new)?;
            change.new.status.insert("appStatus".into(), json!("ready"));
            change.new.status.insert("availableToUser".into(), json!(false));
        }
        check_name(reader, change.new)
    }
}

/// An application has the path of its file, unless it was discovered.
fn check_detail(app: &Object) -> Result<(), GraphError> {
    let detail = app.get("appDetail").and_then(Value::as_object);
    let named = |name: &str| detail.and_then(|detail| detail.get(name)).and_then(Value::as_str).unwrap_or_default();
    match named("@odata.type") {
        "" => {
            let message = format!(
                "'appDetail' does not say what kind of application it is. Send '@odata.type', for example '{FILE_PATH}'."
            );
            Err(GraphError::bad_request(message).about("appDetail/@odata.type"))
        }
        FILE_PATH if named("filePath").trim().is_empty() => Err(required("appDetail/filePath")),
        _ => Ok(()),
    }
}

/// The policy of an application gives single applications to its users.
fn check_policy(reader: &Reader<'_>, app: &Document) -> Result<(), Problem> {
    let id = policy_id(app);
    let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, id);
    // A policy that does not exist is refused as any missing reference.
    let Some(policy) = reader.document(app.tenant_id, &key)? else { return Ok(()) };
    let experience = policy.body.get("userExperienceType").and_then(Value::as_str).unwrap_or_default();
    if experience == "cloudApp" {
        return Ok(());
    }
    let message = format!(
        "The userExperienceType of the policy '{id}' is '{experience}'. Applications need a policy whose type is 'cloudApp'."
    );
    Err(GraphError::bad_request(message).about("provisioningPolicyId").into())
}

/// No two applications of a policy have the same name.
fn check_name(reader: &Reader<'_>, app: &Document) -> Result<(), Problem> {
    let name = |app: &Document| app.body.get("displayName").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let same = of_policy(reader, app.tenant_id, policy_id(app))?;
    if !same.iter().any(|other| other.key != app.key && name(other) == name(app)) {
        return Ok(());
    }
    let given = app.body.get("displayName").and_then(Value::as_str).unwrap_or_default();
    let message = format!("The policy already has an application whose displayName is '{given}'. Choose another one.");
    Err(GraphError::new(409, "nameAlreadyExists", message).about("displayName").into())
}

/// The policy of an application.
pub(crate) fn policy_id(app: &Document) -> &str {
    app.body.get("provisioningPolicyId").and_then(Value::as_str).unwrap_or_default()
}

/// The applications of a policy.
pub(crate) fn of_policy(reader: &Reader<'_>, tenant: TenantId, policy: &str) -> Result<Vec<Document>, Problem> {
    let most = usize::try_from(DOCUMENTS_MAX).unwrap_or(usize::MAX);
    let mut all = reader.document_list(tenant, DocumentType::CloudPcCloudApp, "", None, most)?;
    all.retain(|app| policy_id(app).eq_ignore_ascii_case(policy));
    Ok(all)
}
