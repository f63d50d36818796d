//! `assign`: replaces the assignments of a document as a whole. An assignment to the same target
//! stays, with its id, its creation time and what the caller's version has no name for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, Document, DocumentKey, DocumentType, GroupId, Object, Product, ServicePlan};
use cloudpc_store::{Reader, Tx};
use serde_json::Value;

use super::change::{has_room, lock, refuse};
use super::kind::{CHILDREN_MAX, DocumentChange, DocumentKind, Hooks};
use super::{audit, body, contained, not_found, scope};
use crate::pipeline::{Answer, Call, Problem, required};

/// Name of the collection, and of the parameter of the action.
pub(super) const ASSIGNMENTS: &str = "assignments";

pub(super) async fn assign(call: &Arc<Call>, kind: &'static DocumentKind) -> Result<Answer, Problem> {
    let child = contained(kind, ASSIGNMENTS).ok_or_else(|| not_found(kind, call.key(0)))?;
    let given = given(call, child)?;
    // Made once: the transaction may run again.
    let ids: Vec<_> = given.iter().map(|_| call.app.rng.uuid().to_string()).collect();
    let now = call.at;
    let request = call.clone();
    let work = move |tx: &mut Tx<'_>| {
        let tenant = request.tenant();
        let parent = lock(tx, tenant, &DocumentKey::new(kind.of, request.key(0)))?
            .ok_or_else(|| not_found(kind, request.key(0)))?;
        if !scope::reaches(&request.scope_tags, tx, kind, &parent)? {
            return Err(not_found(kind, request.key(0)));
        }
        let most = usize::try_from(child.rows_max).unwrap_or(usize::MAX);
        let old = tx.document_list(tenant, child.of, &parent.key.id, None, most)?;
        let mut left: HashMap<AssignmentTarget, Document> =
            old.iter().map(|row| (AssignmentTarget::of(&row.body), row.clone())).collect();
        let mut new = Vec::with_capacity(given.len());
        for (body, id) in given.iter().zip(&ids) {
            let target = AssignmentTarget::of(body);
            let held = left.remove(&target);
            let mut document = held.clone().unwrap_or_else(|| Document {
                tenant_id: tenant,
                key: DocumentKey::within(child.of, &parent.key.id, &target.id(&parent.key.id, &old, id)),
                revision: 1,
                body: Object::new(),
                status: Object::new(),
                secret_counts: Object::new(),
                created_at: now,
                modified_at: now,
            });
            document.body = body::patched(child, request.edm, &document.body, body.clone());
            body::fill_defaults(child, &mut document.body);
            body::check(child, held.as_ref().map(|held| &held.body), &document.body)?;
            check_target(tx, &DocumentChange { call: &request, old: held.as_ref(), new: &mut document }, &target)?;
            new.push((held, document));
        }
        // What goes is deleted first, so that its names are free.
        for gone in left.values() {
            let deleted = tx.document_delete(tenant, &gone.key, &[])?;
            deleted.map_err(|conflict| refuse(child, gone, conflict))?;
            child.hooks.after(tx, &request, Some(gone), None)?;
        }
        for (held, document) in &new {
            write(tx, &request, child, held.as_ref(), document)?;
        }
        let (before, after) = (targets(old.iter()), targets(new.iter().map(|(_, document)| document)));
        let entry = audit::entry(&request, kind, AuditVerb::Assign, Some(&parent), None);
        tx.audit_insert(&entry.changed(ASSIGNMENTS, Some(&before), &after))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("document.assign", work).await?;
    Ok(Answer::NoContent)
}

fn write(
    tx: &mut Tx<'_>,
    call: &Call,
    child: &'static DocumentKind,
    held: Option<&Document>,
    document: &Document,
) -> Result<(), Problem> {
    let index = body::index(child, &document.body);
    match held {
        Some(held) if held.body == document.body => return Ok(()),
        Some(_) => drop(tx.document_update(document, &index)?.map_err(|conflict| refuse(child, document, conflict))?),
        None => {
            has_room(tx, child, document)?;
            tx.document_insert(document, &index)?.map_err(|conflict| refuse(child, document, conflict))?;
        }
    }
    child.hooks.after(tx, call, held, Some(document))
}

/// The assignments of the request, by the newest names.
fn given(call: &Call, child: &'static DocumentKind) -> Result<Vec<Object>, Problem> {
    let Some(Value::Array(elements)) = call.body.get(ASSIGNMENTS) else { return Err(required(ASSIGNMENTS).into()) };
    let (count, most) = (elements.len(), child.rows_max);
    if u64::try_from(count).is_ok_and(|count| count > most) {
        let message = format!("'{ASSIGNMENTS}' has {count} elements; at most {most} are allowed. Send fewer.");
        return Err(GraphError::bad_request(message).about(ASSIGNMENTS).into());
    }
    let mut given = Vec::with_capacity(count);
    let mut targets = HashSet::with_capacity(count);
    for element in elements.iter().filter_map(Value::as_object) {
        let body = body::incoming(child, call.edm, element.clone())?;
        let target = AssignmentTarget::of(&body);
        if let Some(twice) = targets.replace(target) {
            let message =
                format!("The group '{}' is listed twice. List each group once for each service plan.", twice.group);
            return Err(GraphError::bad_request(message).about(ASSIGNMENTS).into());
        }
        given.push(body);
    }
    Ok(given)
}

/// What an assignment is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AssignmentTarget {
    /// Id of the group, folded.
    pub group: String,
    /// Id of the service plan, folded; empty if the members' licences decide.
    pub service_plan: String,
}

impl AssignmentTarget {
    pub fn of(body: &Object) -> Self {
        // Assignments of setting profiles have no object around their target.
        let target = body.get("target").and_then(Value::as_object).unwrap_or(body);
        let text = |name: &str| DocumentKey::fold(target.get(name).and_then(Value::as_str).unwrap_or_default());
        Self { group: text("groupId"), service_plan: text("servicePlanId") }
    }

    /// Id of the group; none if it is not a GUID.
    pub fn group_id(&self) -> Option<GroupId> {
        self.group.parse().ok()
    }

    /// The id of a new assignment: that of its parent and its group. It is a GUID where a group may
    /// be assigned more than once, by service plan, or where an assignment that was moved to
    /// another group has that id.
    fn id(&self, parent: &str, siblings: &[Document], guid: &str) -> String {
        let id = format!("{parent}_{}", self.group);
        let is_free = siblings.iter().all(|sibling| sibling.key.id != id);
        if self.service_plan.is_empty() && is_free { id } else { guid.to_owned() }
    }
}

/// The targets of assignments for the audit log: groups, with their service plan.
fn targets<'a>(assignments: impl Iterator<Item = &'a Document>) -> String {
    let text = |document: &Document| {
        let AssignmentTarget { group, service_plan } = AssignmentTarget::of(&document.body);
        if service_plan.is_empty() { group } else { format!("{group} ({service_plan})") }
    };
    let mut all: Vec<_> = assignments.map(text).collect();
    all.sort_unstable();
    all.join(", ")
}

/// An assignment to a group.
pub(super) struct ToGroups;

impl Hooks for ToGroups {
    fn id(&self, reader: &Reader<'_>, _call: &Call, document: &Document, guid: &str) -> Result<String, Problem> {
        let siblings = siblings(reader, document)?;
        Ok(AssignmentTarget::of(&document.body).id(&document.key.parent, &siblings, guid))
    }

    fn check(&self, reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        let target = AssignmentTarget::of(&change.new.body);
        check_target(reader, change, &target)?;
        check_once(reader, change, &target)
    }

    fn after(
        &self,
        tx: &mut Tx<'_>,
        call: &Call,
        old: Option<&Document>,
        new: Option<&Document>,
    ) -> Result<(), Problem> {
        let kind = old.or(new).map(|assignment| assignment.key.kind);
        if kind == Some(DocumentType::CloudPcMaintenanceWindowAssignment) {
            tx.bulk_action_windows_changed(call.tenant(), call.at)?;
        }
        let of_policy = |document: &&Document| document.key.kind == DocumentType::CloudPcProvisioningPolicyAssignment;
        old.into_iter().chain(new).filter(of_policy).try_for_each(|assignment| queue_members(tx, call, assignment))
    }
}

/// Checks what an assignment is for. `assign` checks no more than this of each of its assignments:
/// that no two have the same target is checked for all of them at once.
fn check_target(reader: &Reader<'_>, change: &DocumentChange<'_>, target: &AssignmentTarget) -> Result<(), Problem> {
    let property = group_property(change.new.key.kind);
    if target.group.is_empty() {
        return Err(required(property).into());
    }
    let Some(group) = target.group_id() else {
        let message = format!("The group id '{}' is not a GUID.", target.group);
        return Err(GraphError::bad_request(message).about(property).into());
    };
    if reader.group(change.call.tenant(), group)?.is_none() {
        // Terraform configurations create the group first, and retry while the message contains
        // "groupId" and then "not found".
        let message = format!("groupId '{}' not found. Create the group first.", target.group);
        return Err(GraphError::bad_request(message).about(property).into());
    }
    match change.new.key.kind {
        DocumentType::CloudPcProvisioningPolicyAssignment => check_service_plan(reader, change, target),
        _ if target.service_plan.is_empty() => Ok(()),
        _ => {
            let message = "A user setting takes no service plan. Leave out 'target/servicePlanId'.";
            Err(GraphError::bad_request(message).about("target/servicePlanId").into())
        }
    }
}

/// The property of an assignment that names its group.
fn group_property(kind: DocumentType) -> &'static str {
    match kind {
        DocumentType::CloudPcSettingProfileAssignment => "groupId",
        _ => "target/groupId",
    }
}

/// Refuses to delete a document that is assigned.
pub(super) fn refuse_assigned(
    reader: &Reader<'_>,
    document: &Document,
    assignment: DocumentType,
    status: u16,
) -> Result<(), Problem> {
    let count = reader.document_count(document.tenant_id, assignment, &document.key.id)?;
    if count == 0 {
        return Ok(());
    }
    let message = format!(
        "The {} '{}' has {count} assignments. Remove them first: assign it to an empty list.",
        document.key.kind.name(),
        document.key.id
    );
    Err(GraphError::new(status, "resourceInUse", message).into())
}

/// Returns the assignments beside one, itself included if it is stored.
fn siblings(reader: &Reader<'_>, assignment: &Document) -> Result<Vec<Document>, Problem> {
    let most = usize::try_from(CHILDREN_MAX).unwrap_or(usize::MAX);
    let Document { tenant_id, key, .. } = assignment;
    Ok(reader.document_list(*tenant_id, key.kind, &key.parent, None, most)?)
}

/// Refuses a second assignment to the same target.
fn check_once(reader: &Reader<'_>, change: &DocumentChange<'_>, target: &AssignmentTarget) -> Result<(), Problem> {
    if change.old.is_some_and(|old| AssignmentTarget::of(&old.body) == *target) {
        return Ok(());
    }
    let is_other = |sibling: &Document| sibling.key != change.new.key && AssignmentTarget::of(&sibling.body) == *target;
    let Some(other) = siblings(reader, change.new)?.into_iter().find(is_other) else { return Ok(()) };
    let message = format!(
        "The assignment '{}' already assigns the group '{}'. Change that one, or choose another group.",
        other.key.id, target.group
    );
    Err(GraphError::new(409, "nameAlreadyExists", message).about(group_property(change.new.key.kind)).into())
}

/// Queues the members of an assignment's group, because their Cloud PCs may change, and the
/// assignment, because those that the group shares may.
pub(super) fn queue_members(tx: &mut Tx<'_>, call: &Call, assignment: &Document) -> Result<(), Problem> {
    if assignment.key.kind == DocumentType::CloudPcProvisioningPolicyAssignment {
        tx.shared_assignment_put(call.tenant(), &assignment.key.parent, &assignment.key.id)?;
    }
    if let Some(group) = AssignmentTarget::of(&assignment.body).group_id() {
        tx.provisioning_queue_put_members(call.tenant(), group, call.at)?;
    }
    Ok(())
}

/// Frontline Cloud PCs have the service plan of their assignment; others that of a licence.
fn check_service_plan(
    reader: &Reader<'_>,
    change: &DocumentChange<'_>,
    target: &AssignmentTarget,
) -> Result<(), Problem> {
    const PLAN: &str = "target/servicePlanId";
    let tenant = change.call.tenant();
    let policy = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, &change.new.key.parent);
    let policy = reader.document(tenant, &policy)?;
    let provisioning = policy.as_ref().and_then(|policy| policy.body.get("provisioningType")).and_then(Value::as_str);
    let by_licence = provisioning.is_none_or(|name| name == "dedicated");
    let wrong = |message: String| Err(GraphError::bad_request(message).about(PLAN).into());
    match (by_licence, target.service_plan.as_str()) {
        (true, "") => Ok(()),
        (true, plan) => wrong(format!(
            "A dedicated policy takes the service plan of each user's licence; leave out the service plan '{plan}'."
        )),
        (false, "") => wrong(format!(
            "A policy of type '{}' needs '{PLAN}'. Send the id of a frontline service plan.",
            provisioning.unwrap_or_default()
        )),
        (false, plan) => {
            let found = plan.parse().ok().map(|id| reader.service_plan(tenant, id)).transpose()?.flatten();
            match found {
                Some(plan) if provisioning == Some("sharedByEntraGroup") => check_shared(&plan, change),
                Some(_) => Ok(()),
                None => wrong(format!(
                    "There is no service plan with the id '{plan}'. See GET /deviceManagement/virtualEndpoint/servicePlans."
                )),
            }
        }
    }
}

/// A group shares as many Cloud PCs of a frontline service plan as its assignment says.
fn check_shared(plan: &ServicePlan, change: &DocumentChange<'_>) -> Result<(), Problem> {
    let wrong = |about: &str, message: String| Err(GraphError::bad_request(message).about(about).into());
    if plan.product != Product::Frontline {
        let message =
            format!("'{}' is not a frontline service plan. Choose one of frontLineServicePlans.", plan.display_name);
        return wrong("target/servicePlanId", message);
    }
    const COUNT: &str = "allotmentLicensesCount";
    match change.new.body.get("target").and_then(|target| target.get(COUNT)) {
        Some(Value::Number(_)) => Ok(()),
        _ => wrong(
            &format!("target/{COUNT}"),
            format!(
                "A policy of type 'sharedByEntraGroup' needs 'target/{COUNT}': how many Cloud PCs the group shares."
            ),
        ),
    }
}
