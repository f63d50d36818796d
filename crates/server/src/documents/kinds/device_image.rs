//! `cloudPcDeviceImage`: custom images, which the engine imports from a source.

use cloudpc_drivers::check_source_form;
use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentType, Object, Params};
use cloudpc_store::{Reader, Tx};
use serde_json::{Value, json};

use super::rights;
use crate::documents::kind::Const::Texts;
use crate::documents::kind::Fact::{CharsMax, Computed, Default, Filled, Immutable, ModifiedAt, Required};
use crate::documents::kind::{DOCUMENTS_MAX, DocumentChange, DocumentKind, Hooks, Rights, WRITABLE};
use crate::pipeline::{Call, Problem};

static RIGHTS: Rights = rights("DeviceImages");

/// Most images of a tenant, as in Windows 365. Each may be as large as the largest disk.
const IMAGES_MAX: u64 = 20;

/// Most numbers of a version, and most digits of each.
const VERSION_NUMBERS_MAX: usize = 4;
const VERSION_DIGITS_MAX: usize = 9;

/// `cloudPcDeviceImage`
pub(super) static DEVICE_IMAGE: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcDeviceImage,
    "/deviceManagement/virtualEndpoint/deviceImages",
    &RIGHTS,
    WRITABLE,
    &[
        Required("displayName"),
        CharsMax("displayName", 128),
        Required("version"),
        Required("sourceImageResourceId"),
        Immutable("sourceImageResourceId"),
        Filled("operatingSystem"),
        Filled("osBuildNumber"),
        Computed("osVersionNumber"),
        Computed("sizeInGB"),
        Computed("expirationDate"),
        Computed("status"),
        Computed("statusDetails"),
        Computed("errorCode"),
        Computed("osStatus"),
        Default("scopeIds", Texts(&["0"])),
        ModifiedAt("lastModifiedDateTime"),
    ],
)
.at_most(IMAGES_MAX)
.hooks(&ImageHooks);

struct ImageHooks;

impl Hooks for ImageHooks {
    fn check(&self, reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        let source = text(change.new, "sourceImageResourceId");
        if let Err(why) = check_source_form(source) {
            return Err(GraphError::bad_request(why).about("sourceImageResourceId").into());
        }
        check_version(text(change.new, "version"))?;
        check_identity(reader, change)?;
        if change.old.is_none() {
            change.new.status.insert("status".into(), json!("pending"));
            change.new.status.insert("osStatus".into(), json!("unknown"));
        }
        Ok(())
    }

    fn check_delete(&self, reader: &Reader<'_>, _call: &Call, image: &Document) -> Result<(), Problem> {
        refuse_pending(image, "deleted")?;
        refuse_used(reader, image, "deleted")
    }

    fn after(
        &self,
        tx: &mut Tx<'_>,
        call: &Call,
        old: Option<&Document>,
        new: Option<&Document>,
    ) -> Result<(), Problem> {
        match (old, new) {
            (None, Some(image)) => accept(tx, call, image, import(image)),
            (Some(image), None) => accept(tx, call, image, Params::RemoveImage),
            _ => Ok(()),
        }
    }
}

/// The parameters of the import of an image.
pub(crate) fn import(image: &Document) -> Params {
    Params::ImportImage { source: text(image, "sourceImageResourceId").to_owned() }
}

/// Accepts an action on an image.
pub(crate) fn accept(tx: &mut Tx<'_>, call: &Call, image: &Document, params: Params) -> Result<(), Problem> {
    call.app.engine.accept_on_document(tx, &call.request_context(), image, params, call.at)?;
    Ok(())
}

/// Refuses a request on an image that is being imported.
pub(crate) fn refuse_pending(image: &Document, what: &str) -> Result<(), Problem> {
    if status(image) != "pending" {
        return Ok(());
    }
    let message = format!(
        "The device image '{}' is being imported and cannot be {what} yet. Retry when its status is 'ready' or 'failed'.",
        image.key.id
    );
    Err(GraphError::new(409, "resourceInUse", message).into())
}

/// Refuses a request on an image that a policy or a pool uses.
pub(crate) fn refuse_used(reader: &Reader<'_>, image: &Document, what: &str) -> Result<(), Problem> {
    let list = |kind| reader.document_list(image.tenant_id, kind, "", None, most());
    let policies = list(DocumentType::CloudPcProvisioningPolicy)?;
    let pools = list(DocumentType::CloudPcPool)?;
    let configuration = |pool: &Document| pool.body.get("cloudPcConfiguration").and_then(Value::as_object).cloned();
    let by_policies = policies.iter().map(|policy| ("provisioning policy", policy, Some(policy.body.clone())));
    let by_pools = pools.iter().map(|pool| ("pool", pool, configuration(pool)));
    let uses = |body: &Object| {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        text("imageType") == "custom" && text("imageId").eq_ignore_ascii_case(&image.key.id)
    };
    let mut users = by_policies.chain(by_pools).filter(|(_, _, body)| body.as_ref().is_some_and(uses));
    let Some((of, user, _)) = users.next() else { return Ok(()) };
    let message = format!(
        "The device image '{}' cannot be {what}: the {of} '{}' uses it (imageId). Change or delete the {of} first.",
        image.key.id, user.key.id
    );
    Err(GraphError::new(409, "resourceInUse", message).into())
}

/// `status`, which the engine writes.
pub(crate) fn status(image: &Document) -> &str {
    image.status.get("status").and_then(Value::as_str).unwrap_or_default()
}

fn text<'a>(document: &'a Document, name: &str) -> &'a str {
    document.body.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn most() -> usize {
    usize::try_from(DOCUMENTS_MAX).unwrap_or(usize::MAX)
}

fn check_version(version: &str) -> Result<(), Problem> {
    let numbers: Vec<_> = version.split('.').collect();
    let is_number = |part: &&str| {
        (1..=VERSION_DIGITS_MAX).contains(&part.len()) && part.chars().all(|digit| digit.is_ascii_digit())
    };
    if numbers.len() <= VERSION_NUMBERS_MAX && numbers.iter().all(is_number) {
        return Ok(());
    }
    let message = format!("'{version}' is not a version. Write up to four numbers with dots, for example 0.0.1.");
    Err(GraphError::bad_request(message).about("version").into())
}

/// Name and version together identify an image.
fn check_identity(reader: &Reader<'_>, change: &DocumentChange<'_>) -> Result<(), Problem> {
    let identity = |image: &Document| (text(image, "displayName").to_lowercase(), text(image, "version").to_owned());
    let wanted = identity(change.new);
    let images = reader.document_list(change.new.tenant_id, DocumentType::CloudPcDeviceImage, "", None, most())?;
    match images.iter().find(|image| image.key.id != change.new.key.id && identity(image) == wanted) {
        None => Ok(()),
        Some(other) => {
            let message = format!(
                "A device image '{}' with version {} already exists. Choose another name or version.",
                text(other, "displayName"),
                wanted.1
            );
            Err(GraphError::new(409, "nameAlreadyExists", message).about("displayName").into())
        }
    }
}
