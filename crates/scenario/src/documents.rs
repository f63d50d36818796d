//! Provisioning policies and user settings of a scenario, with their assignments. Their properties
//! have Graph's names; the [`DocumentWriter`] knows their meaning.

use cloudpc_model::{Document, DocumentKey, DocumentType, Error, Object, TenantId, Timestamp};
use cloudpc_store::{Reader, StoreError, Tx};
use serde_json::{Value, json};
use std::sync::Arc;

use super::PAGE_ROWS;
use super::cloud_pcs::Lookup;
use super::describe::datetime;
use super::directory::ResolvedDirectory;
use super::file;
use super::resolve::{invalid, timestamp};

const TARGET_TYPE: &str = "#microsoft.graph.cloudPcManagementGroupAssignmentTarget";

/// A configuration entity of a scenario, as a client would create it.
#[derive(Clone, Debug)]
pub struct ScenarioDocument {
    /// Its type.
    pub kind: DocumentType,
    /// Its id.
    pub id: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its properties.
    pub body: Object,
    /// Its assignments.
    pub assignments: Vec<ScenarioAssignment>,
}

/// An assignment of a scenario, as a client would create it.
#[derive(Clone, Debug)]
pub struct ScenarioAssignment {
    /// Its id, unless its type has ids of another form.
    pub id: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its properties.
    pub body: Object,
}

/// Checks a configuration entity like a client's request to create it, and writes it with its
/// assignments. The store has the groups, images and service plans of the tenant. Errors: invalid,
/// as a client's request would be; the store fails.
pub type DocumentWriter = Arc<dyn Fn(&mut Tx<'_>, TenantId, &ScenarioDocument) -> Result<(), Error> + Send + Sync>;

impl ScenarioDocument {
    /// Returns what the entity is called in messages.
    pub(super) fn place(&self) -> String {
        place(self.kind, self.body.get("displayName").and_then(Value::as_str).unwrap_or_default())
    }
}

fn place(kind: DocumentType, name: &str) -> String {
    let what = match kind {
        DocumentType::CloudPcProvisioningPolicy => "provisioning policy",
        DocumentType::CloudPcUserSetting => "user setting",
        other => other.name(),
    };
    format!("{what} '{name}'")
}

/// Resolves the entries of a type.
///
/// # Errors
/// Invalid, naming the entry and what to do.
pub(super) fn resolve(
    kind: DocumentType,
    entries: Vec<file::DocumentEntry>,
    directory: &ResolvedDirectory,
    lookup: &Lookup<'_>,
) -> Result<Vec<ScenarioDocument>, Error> {
    let mut documents = Vec::with_capacity(entries.len());
    for entry in entries {
        let place = place(kind, &entry.name);
        if entry.properties.contains_key("displayName") {
            return Err(invalid(&place, "its properties have displayName, which name already sets; remove it"));
        }
        let what = if kind == DocumentType::CloudPcUserSetting { "userSetting" } else { "provisioningPolicy" };
        let id = entry.id.unwrap_or_else(|| lookup.within.derived(what, &entry.name).to_string());
        let id = DocumentKey::fold(&id);
        let mut body = json_object(entry.properties);
        body.insert("displayName".into(), json!(entry.name));
        let assignments = entry.assignments.into_iter().zip(0..);
        let assignments = assignments.map(|(entry, age)| assignment(entry, age, &id, &place, directory, lookup));
        documents.push(ScenarioDocument {
            kind,
            created_at: entry.created_at.map_or(Ok(lookup.now), |at| timestamp(at, &place))?,
            body,
            assignments: assignments.collect::<Result<_, _>>()?,
            id,
        });
    }
    Ok(documents)
}

/// Resolves an assignment; `age` is its place among those of the document, oldest first.
fn assignment(
    entry: file::AssignmentEntry,
    age: i64,
    document: &str,
    place: &str,
    directory: &ResolvedDirectory,
    lookup: &Lookup<'_>,
) -> Result<ScenarioAssignment, Error> {
    let group = directory.group(&entry.group, place)?;
    let plan = entry.service_plan.map(|plan| lookup.service_plan(&plan, place).map(|plan| plan.id)).transpose()?;
    let mut target = json_object(entry.target);
    target.insert("@odata.type".into(), json!(TARGET_TYPE));
    target.insert("groupId".into(), json!(group));
    if let Some(plan) = plan {
        target.insert("servicePlanId".into(), json!(plan));
    }
    let derived = || {
        let plan = plan.map(|plan| plan.to_string()).unwrap_or_default();
        lookup.within.derived("assignment", &[document, &group.to_string(), &plan].join(" ")).to_string()
    };
    let oldest = Timestamp(lookup.now.0 + age);
    Ok(ScenarioAssignment {
        id: entry.id.unwrap_or_else(derived),
        created_at: entry.created_at.map_or(Ok(oldest), |at| timestamp(at, place))?,
        body: Object::from_iter([("target".to_owned(), Value::Object(target))]),
    })
}

/// Returns a table as JSON. Times become texts. The parser limits how deep a table is.
fn json_object(table: toml::Table) -> Object {
    fn json(value: toml::Value) -> Value {
        match value {
            toml::Value::String(text) => Value::String(text),
            toml::Value::Integer(number) => json!(number),
            toml::Value::Float(number) => json!(number),
            toml::Value::Boolean(flag) => json!(flag),
            toml::Value::Datetime(at) => json!(at.to_string()),
            toml::Value::Array(elements) => elements.into_iter().map(json).collect(),
            toml::Value::Table(table) => Value::Object(json_object(table)),
        }
    }
    table.into_iter().map(|(name, value)| (name, json(value))).collect()
}

/// Returns the documents of a type as entries.
pub(super) fn describe(
    reader: &Reader<'_>,
    tenant: TenantId,
    kind: DocumentType,
    assignments: DocumentType,
) -> Result<Vec<file::DocumentEntry>, StoreError> {
    let mut entries = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = reader.document_list(tenant, kind, "", after.as_deref(), PAGE_ROWS)?;
        let Some(last) = page.last() else { return Ok(entries) };
        after = Some(last.key.id.clone());
        for document in page {
            let children = reader.document_children(tenant, assignments, &[document.key.id.as_str()], usize::MAX)?;
            entries.push(entry(document, children)?);
        }
    }
}

fn entry(mut document: Document, mut assignments: Vec<Document>) -> Result<file::DocumentEntry, StoreError> {
    assignments.sort_by(|a, b| (a.created_at, &a.key.id).cmp(&(b.created_at, &b.key.id)));
    Ok(file::DocumentEntry {
        name: take_text(&mut document.body, "displayName").unwrap_or_default(),
        properties: table(document.body)?,
        created_at: Some(datetime(document.created_at)),
        assignments: assignments.into_iter().map(assignment_entry).collect::<Result<_, _>>()?,
        id: Some(document.key.id),
    })
}

fn assignment_entry(mut assignment: Document) -> Result<file::AssignmentEntry, StoreError> {
    let mut target = match assignment.body.remove("target") {
        Some(Value::Object(target)) => target,
        _ => Object::new(),
    };
    target.remove("@odata.type");
    Ok(file::AssignmentEntry {
        id: Some(assignment.key.id),
        group: take_text(&mut target, "groupId").unwrap_or_default(),
        service_plan: take_text(&mut target, "servicePlanId"),
        created_at: Some(datetime(assignment.created_at)),
        target: table(target)?,
    })
}

fn take_text(body: &mut Object, name: &str) -> Option<String> {
    match body.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn table(body: Object) -> Result<toml::Table, StoreError> {
    toml::Table::try_from(body)
        .map_err(|error| StoreError::Corrupt { table: "documents", what: format!("a value has no TOML: {error}") })
}
