//! `cloudPcProvisioningPolicy`: how the Cloud PCs of groups are made.

use cloudpc_engine::GRACE_PERIOD;
use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentKey, DocumentType, ImageId, NamingTemplate, Object, ReferenceStrength};
use cloudpc_store::{Reader, Tx};
use serde_json::{Value, json};

use super::{device_image, rights};
use crate::documents::assign::{ToGroups, queue_members, refuse_assigned};
use crate::documents::kind::Const::{Bool, Text, Texts};
use crate::documents::kind::Fact::{
    CharsMax, Computed, CreatedAt, CreatedBy, Default, Filled, Immutable, ModifiedAt, ModifiedBy, Observed, Old, Range,
    Reference, Required, Unique, Without,
};
use crate::documents::kind::{ASSIGNABLE, CHILDREN_MAX, DocumentChange, DocumentKind, Hooks, Rights, WRITABLE};
use crate::pipeline::{Call, Problem};
use crate::rbac::tags_of;

static RIGHTS: Rights = rights("ProvisioningPolicies");

/// Hours that a Cloud PC stays usable after its licence or assignment was taken away.
const GRACE_HOURS: u64 = GRACE_PERIOD.as_secs() / 3600;

/// `cloudPcProvisioningPolicy`
pub(in crate::documents) static PROVISIONING_POLICY: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcProvisioningPolicy,
    "/deviceManagement/virtualEndpoint/provisioningPolicies",
    &RIGHTS,
    ASSIGNABLE,
    &[
        Required("displayName"),
        Unique("displayName"),
        CharsMax("displayName", 120),
        Without("displayName", "<>()&|$'\",;^"),
        CharsMax("description", 1_500),
        Required("imageId"),
        Filled("imageDisplayName"),
        Required("domainJoinConfigurations"),
        Default("provisioningType", Text("dedicated")),
        Immutable("provisioningType"),
        Default("userExperienceType", Text("cloudPc")),
        Immutable("userExperienceType"),
        Default("imageType", Text("gallery")),
        Default("enableSingleSignOn", Bool(false)),
        Default("localAdminEnabled", Bool(false)),
        Default("windowsSetting/locale", Text("en-US")),
        Old { old: "windowsSettings/language", newest: "windowsSetting/locale", values: &[] },
        Default("microsoftManagedDesktop/managedType", Text("notManaged")),
        Old { old: "microsoftManagedDesktop/type", newest: "microsoftManagedDesktop/managedType", values: &[] },
        Old { old: "domainJoinConfigurations/type", newest: "domainJoinConfigurations/domainJoinType", values: &[] },
        Default("domainJoinConfigurations/domainJoinType", Text("azureADJoin")),
        Reference(
            "domainJoinConfigurations/onPremisesConnectionId",
            DocumentType::CloudPcOnPremisesConnection,
            ReferenceStrength::Holds,
        ),
        Range("autopilotConfiguration/applicationTimeoutInMinutes", 30, 360),
        Observed(
            "userSettingsPersistenceEnabled",
            "userSettingsPersistenceConfiguration/userSettingsPersistenceEnabled",
        ),
        Default("snapshotResetMode", Text("notApplicable")),
        Default("managedBy", Text("windows365")),
        Default("scopeIds", Texts(&["0"])),
        Computed("alternateResourceUrl"),
        Computed("cloudPcGroupDisplayName"),
        Computed("gracePeriodInHours"),
        CreatedBy("createdBy"),
        CreatedAt("createdDateTime"),
        ModifiedBy("lastModifiedBy"),
        ModifiedAt("lastModifiedDateTime"),
    ],
)
.expands(&["assignments"])
.hooks(&PolicyHooks);

/// `cloudPcProvisioningPolicyAssignment`
pub(in crate::documents) static ASSIGNMENT: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcProvisioningPolicyAssignment,
    "/deviceManagement/virtualEndpoint/provisioningPolicies/{cloudPcProvisioningPolicy-id}/assignments",
    &RIGHTS,
    WRITABLE,
    &[Required("target"), Range("target/allotmentLicensesCount", 0, 900)],
)
.within(&PROVISIONING_POLICY)
.hooks(&ToGroups);

struct PolicyHooks;

impl Hooks for PolicyHooks {
    fn check(&self, reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        let body = &mut change.new.body;
        check_experience(body)?;
        check_joins(body)?;
        check_naming(body)?;
        check_autopatch(body, change.call)?;
        name_image(reader, change)
    }

    fn after(
        &self,
        tx: &mut Tx<'_>,
        call: &Call,
        old: Option<&Document>,
        new: Option<&Document>,
    ) -> Result<(), Problem> {
        // A new policy has no assignments, and one with assignments cannot be deleted.
        let policy = match (old, new) {
            (Some(_), Some(policy)) => policy,
            (Some(gone), None) => {
                tx.rollout_delete(call.tenant(), &gone.key.id)?;
                tx.policy_schedule_delete(call.tenant(), &gone.key.id)?;
                return Ok(());
            }
            (None, _) => return Ok(()),
        };
        let kind = DocumentType::CloudPcProvisioningPolicyAssignment;
        let most = usize::try_from(CHILDREN_MAX).unwrap_or(usize::MAX);
        let assignments = tx.document_list(call.tenant(), kind, &policy.key.id, None, most)?;
        assignments.iter().try_for_each(|assignment| queue_members(tx, call, assignment))
    }

    fn computed(&self, _reader: &Reader<'_>, _call: &Call, page: &mut [Document]) -> Result<(), Problem> {
        for policy in page {
            policy.status.insert("gracePeriodInHours".into(), json!(GRACE_HOURS));
        }
        Ok(())
    }

    fn check_delete(&self, reader: &Reader<'_>, _call: &Call, policy: &Document) -> Result<(), Problem> {
        // Terraform configurations know this refusal as a 400.
        refuse_assigned(reader, policy, DocumentType::CloudPcProvisioningPolicyAssignment, 400)
    }
}

fn text<'a>(body: &'a Object, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn wrong(property: &str, message: impl Into<String>) -> Result<(), Problem> {
    Err(GraphError::bad_request(message).about(property).into())
}

/// Applications and kept settings are for Cloud PCs that a group shares.
fn check_experience(body: &mut Object) -> Result<(), Problem> {
    const PERSISTENCE: &str = "userSettingsPersistenceConfiguration";
    if text(body, "provisioningType") == "sharedByEntraGroup" {
        return Ok(());
    }
    if text(body, "userExperienceType") == "cloudApp" {
        return wrong("userExperienceType", "'cloudApp' needs the provisioningType 'sharedByEntraGroup'.");
    }
    match body.get(PERSISTENCE).and_then(|held| held.get("userSettingsPersistenceEnabled")) {
        Some(Value::Bool(true)) => {
            wrong(PERSISTENCE, "User settings persist only with the provisioningType 'sharedByEntraGroup'.")
        }
        _ => {
            body.remove(PERSISTENCE);
            Ok(())
        }
    }
}

/// A hybrid join needs a connection; an Entra join has either a connection or a region.
fn check_joins(body: &Object) -> Result<(), Problem> {
    const JOINS: &str = "domainJoinConfigurations";
    let joins = body.get(JOINS).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (place, join) in joins.iter().filter_map(Value::as_object).enumerate() {
        let has = |name| !text(join, name).is_empty();
        let (connection, region) = (has("onPremisesConnectionId"), has("regionName") || has("regionGroup"));
        let problem = match text(join, "domainJoinType") {
            "hybridAzureADJoin" if !connection => "a hybrid join needs 'onPremisesConnectionId'",
            "hybridAzureADJoin" if region => {
                "a hybrid join takes its region from its connection; leave 'regionName' and 'regionGroup' out"
            }
            "azureADJoin" if connection && region => "give either 'onPremisesConnectionId' or a region, not both",
            "azureADJoin" if !connection && !region => {
                "give 'regionName', for example 'automatic', or 'onPremisesConnectionId'"
            }
            _ => continue,
        };
        return wrong(JOINS, format!("{JOINS}/{place}: {problem}."));
    }
    Ok(())
}

/// The naming template makes names of 5 to 15 characters, of which 5 at least are random.
fn check_naming(body: &Object) -> Result<(), Problem> {
    const TEMPLATE: &str = "cloudPcNamingTemplate";
    let Some(template) = body.get(TEMPLATE).and_then(Value::as_str) else { return Ok(()) };
    match NamingTemplate::parse(template) {
        Ok(_) => Ok(()),
        Err(why) => wrong(
            TEMPLATE,
            format!("'{template}' is not a naming template: {why}. Write one such as CPC-%USERNAME:4%-%RAND:5%."),
        ),
    }
}

/// Autopatch groups are assigned by people, not by applications.
fn check_autopatch(body: &mut Object, call: &Call) -> Result<(), Problem> {
    let group = body.get("autopatch").and_then(|autopatch| autopatch.get("autopatchGroupId"));
    if group.is_none_or(Value::is_null) {
        body.remove("autopatch");
        return Ok(());
    }
    if call.caller.user.is_none() {
        let message = "'autopatch' can only be set by a signed-in user. Use a delegated token, or leave it out.";
        return Err(GraphError::new(403, "Forbidden", message).about("autopatch").into());
    }
    Ok(())
}

/// Returns the id and the name of the image that `imageId` and `imageType` name. `held` is the id
/// that was there before, and `property` the path of the id.
pub(super) fn find_image(
    reader: &Reader<'_>,
    call: &Call,
    held: &str,
    body: &Object,
    property: &str,
) -> Result<(String, String), Problem> {
    let wrong = |message: String| Err(GraphError::bad_request(message).about(property).into());
    let (id, kind) = (text(body, "imageId"), text(body, "imageType"));
    let missing = format!("There is no {kind} image with the id '{id}'.");
    if kind != "custom" {
        let image = reader.gallery_image(call.tenant(), &ImageId(id.to_owned()))?;
        return image.map_or_else(|| wrong(missing), |image| Ok((id.to_owned(), image.display_name)));
    }
    // Machines know the image by the spelling of its key.
    let key = DocumentKey::new(DocumentType::CloudPcDeviceImage, id);
    let Some(image) = reader.document(call.tenant(), &key)? else { return wrong(missing) };
    // What the caller's scope tags do not reach looks missing, unless it is named already.
    if DocumentKey::fold(held) != key.id && !call.scope_tags.reaches(&tags_of(&image)) {
        return wrong(missing);
    }
    match device_image::status(&image) {
        "ready" => Ok((key.id, text(&image.body, "displayName").to_owned())),
        status => {
            wrong(format!("The status of the custom image '{id}' is '{status}'; it can be used when it is 'ready'."))
        }
    }
}

/// Checks that the image is there, and fills in its name unless the caller gives one.
fn name_image(reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
    let body = &mut change.new.body;
    let id = text(body, "imageId").to_owned();
    let held = change.old.map(|old| text(&old.body, "imageId")).unwrap_or_default();
    let (stored_id, name) = find_image(reader, change.call, held, body, "imageId")?;
    body.insert("imageId".into(), json!(stored_id));
    let old = change.old.map(|old| &old.body);
    let is_another = old.is_some_and(|old| text(old, "imageId") != id);
    let is_kept = old.is_some_and(|old| old.get("imageDisplayName") == body.get("imageDisplayName"));
    if !body.contains_key("imageDisplayName") || is_another && is_kept {
        body.insert("imageDisplayName".into(), json!(name));
    }
    Ok(())
}
