//! Writing documents: create, update, delete. A write, the rows that depend on it and its audit row
//! are one commit.

use std::sync::Arc;

use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, Document, DocumentKey, DocumentReference, Object, TenantId};
use cloudpc_store::{DocumentConflict, Tx};
use serde_json::{Value, json};

use super::expand::Expanded;
use super::kind::{DocumentChange, DocumentKind, DocumentShape, Fact};
use super::read::{self, find};
use super::{audit, body, children, kind, not_found, parent_of, scope};
use crate::pipeline::{Answer, Call, Problem};

pub(super) async fn create(call: &Arc<Call>, kind: &'static DocumentKind) -> Result<Answer, Problem> {
    // Made once: the transaction may run again.
    let id = call.app.rng.uuid().to_string();
    kind.hooks.prepare(call).await?;
    let request = call.clone();
    let work = move |tx: &mut Tx<'_>| {
        let mut document = insert(tx, &request, kind, &id)?;
        tx.audit_insert(&audit::entry(&request, kind, AuditVerb::Create, None, Some(&document)))?;
        kind.hooks.computed(tx, &request, std::slice::from_mut(&mut document))?;
        Ok::<_, Problem>(document)
    };
    let document = call.app.store.write("document.create", work).await?;
    let shown = read::shown(call, kind, &document, Expanded::new());
    Ok(read::tagged(call.created(&document.key.id, &shown), kind, &document))
}

/// Checks and writes the new document of a request and what follows from it. `guid` is its id,
/// unless its kind has other ids.
pub(super) fn insert(
    tx: &mut Tx<'_>,
    call: &Call,
    kind: &'static DocumentKind,
    guid: &str,
) -> Result<Document, Problem> {
    let parent = parent_of(call, kind);
    if let DocumentShape::Within(above) = kind.shape {
        let found = lock(tx, call.tenant(), &DocumentKey::new(above.of, &parent))?;
        let found = found.ok_or_else(|| not_found(above, call.key(0)))?;
        if !scope::reaches(&call.scope_tags, tx, above, &found)? {
            return Err(not_found(above, call.key(0)));
        }
    }
    let mut document = Document {
        tenant_id: call.tenant(),
        key: DocumentKey { kind: kind.of, parent, id: String::new() },
        revision: 1,
        body: body::incoming(kind, call.edm, call.body.clone())?,
        status: Object::new(),
        secret_counts: Object::new(),
        created_at: call.at,
        modified_at: call.at,
    };
    document.key.id = DocumentKey::fold(&kind.hooks.id(tx, call, &document, guid)?);
    scope::fill_tags(call, kind, &mut document);
    finalize(call, kind, &mut document, None, tx)?;
    has_room(tx, kind, &document)?;
    let written = tx.document_insert(&document, &body::index(kind, &document.body))?;
    written.map_err(|conflict| refuse(kind, &document, conflict))?;
    kind.hooks.after(tx, call, None, Some(&document))?;
    Ok(document)
}

pub(super) async fn update(call: &Arc<Call>, kind: &'static DocumentKind) -> Result<Answer, Problem> {
    let now = call.at;
    let request = call.clone();
    let work = move |tx: &mut Tx<'_>| {
        let old = find(&request, kind, tx)?;
        scope::check_single(&request, kind, &old)?;
        kind.hooks.check_update(&old)?;
        must_match(&request, &old)?;
        let mut new = old.clone();
        let patch = body::incoming(kind, request.edm, request.body.clone())?;
        count_secrets(kind, &mut new, &patch);
        new.body = body::patched(kind, request.edm, &old.body, without_secrets(kind, patch));
        new.modified_at = now;
        finalize(&request, kind, &mut new, Some(&old), tx)?;
        if new.body != old.body || new.secret_counts != old.secret_counts {
            let index = body::index(kind, &new.body);
            if old.revision == 0 {
                new.created_at = now;
                new.revision = 1;
                tx.document_insert(&new, &index)?.map_err(|conflict| refuse(kind, &new, conflict))?;
            } else {
                let written = tx.document_update(&new, &index)?;
                new.revision = written.map_err(|conflict| refuse(kind, &new, conflict))?;
            }
            kind.hooks.after(tx, &request, Some(&old), Some(&new))?;
            tx.audit_insert(&audit::entry(&request, kind, AuditVerb::Update, Some(&old), Some(&new)))?;
        } else {
            new = old;
        }
        kind.hooks.computed(tx, &request, std::slice::from_mut(&mut new))?;
        Ok::<_, Problem>(new)
    };
    let document = call.app.store.write("document.update", work).await?;
    let shown = read::shown(call, kind, &document, Expanded::new());
    Ok(read::tagged(call.updated(&shown), kind, &document))
}

pub(super) async fn delete(call: &Arc<Call>, kind: &'static DocumentKind) -> Result<Answer, Problem> {
    let request = call.clone();
    let work = move |tx: &mut Tx<'_>| {
        let document = find(&request, kind, tx)?;
        must_match(&request, &document)?;
        kind.hooks.check_delete(tx, &request, &document)?;
        let deleted = tx.document_delete(request.tenant(), &document.key, &children(kind))?;
        deleted.map_err(|conflict| refuse(kind, &document, conflict))?;
        kind.hooks.after(tx, &request, Some(&document), None)?;
        tx.audit_insert(&audit::entry(&request, kind, AuditVerb::Delete, Some(&document), None))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("document.delete", work).await?;
    Ok(Answer::NoContent)
}

/// Brings a document that is written into its final form and checks it.
fn finalize(
    call: &Call,
    kind: &'static DocumentKind,
    document: &mut Document,
    old: Option<&Document>,
    tx: &Tx<'_>,
) -> Result<(), Problem> {
    if old.is_none() {
        let given = std::mem::take(&mut document.body);
        count_secrets(kind, document, &given);
        document.body = without_secrets(kind, given);
    }
    set_author(call, kind, document, old.is_none());
    body::fill_defaults(kind, &mut document.body);
    body::check(kind, old.map(|old| &old.body), &document.body)?;
    scope::check_tags(call, kind, old, document)?;
    scope::check_references(call, tx, kind, old, document)?;
    kind.hooks.check(tx, &mut DocumentChange { call, old, new: document })?;
    Ok(())
}

/// Counts the secrets that a caller sent. Null or an empty text removes one. The secrets themselves
/// are not kept, since nothing uses them.
fn count_secrets(kind: &DocumentKind, document: &mut Document, given: &Object) {
    for property in secrets(kind) {
        match given.get(property) {
            None => {}
            Some(Value::Null) => drop(document.secret_counts.remove(property)),
            Some(Value::String(text)) if text.is_empty() => drop(document.secret_counts.remove(property)),
            Some(_) => count_secret(document, property),
        }
    }
}

/// Counts a secret, so that every new one is a change.
fn count_secret(document: &mut Document, property: &str) {
    let count = document.secret_counts.get(property).and_then(Value::as_u64).unwrap_or_default() + 1;
    document.secret_counts.insert(property.to_owned(), json!(count));
}

fn without_secrets(kind: &DocumentKind, mut given: Object) -> Object {
    given.retain(|name, _| !secrets(kind).any(|secret| secret == name));
    given
}

fn secrets(kind: &DocumentKind) -> impl Iterator<Item = &'static str> {
    kind.facts.iter().filter_map(|fact| if let Fact::Secret(property) = *fact { Some(property) } else { None })
}

/// Notes that a caller has sent another secret of a document, with the audit row.
///
/// # Errors
/// The store failed.
pub(crate) fn replace_secret(
    tx: &mut Tx<'_>,
    call: &Call,
    old: &Document,
    property: &'static str,
) -> Result<(), Problem> {
    let Some(kind) = kind(old.key.kind) else { return Err(Problem::not_found(old.key.kind.name(), &old.key.id)) };
    let mut new = Document { modified_at: call.at, ..old.clone() };
    count_secret(&mut new, property);
    let written = tx.document_update(&new, &body::index(kind, &new.body))?;
    written.map_err(|conflict| refuse(kind, &new, conflict))?;
    tx.audit_insert(&audit::entry(call, kind, AuditVerb::Update, Some(old), Some(&new)))?;
    Ok(())
}

/// Notes who wrote a document.
fn set_author(call: &Call, kind: &DocumentKind, document: &mut Document, is_new: bool) {
    for fact in kind.facts {
        let property = match *fact {
            Fact::CreatedBy(property) if is_new => property,
            Fact::ModifiedBy(property) => property,
            _ => continue,
        };
        document.status.insert(property.to_owned(), json!(call.caller.display_name()));
    }
}

/// Reads a document whose contents are about to change, and keeps others from changing them at the
/// same time.
pub(super) fn lock(tx: &mut Tx<'_>, tenant: TenantId, key: &DocumentKey) -> Result<Option<Document>, Problem> {
    let Some(document) = tx.document(tenant, key)? else { return Ok(None) };
    tx.document_status_put(tenant, key, &document.status)?;
    Ok(Some(Document { revision: document.revision + 1, ..document }))
}

/// Refuses a document more than there may be of a kind.
pub(super) fn has_room(tx: &Tx<'_>, kind: &DocumentKind, document: &Document) -> Result<(), Problem> {
    let count = tx.document_count(document.tenant_id, kind.of, &document.key.parent)?;
    if count < kind.rows_max {
        return Ok(());
    }
    let within = if document.key.parent.is_empty() { "a tenant" } else { "one parent" };
    let (name, most) = (kind.name(), kind.rows_max);
    let message = format!("The limit of {most} {name} entities in {within} is reached. Delete one, or send fewer.");
    Err(GraphError::new(403, "quotaLimitReached", message).into())
}

/// Refuses a write whose `If-Match` names another state of the document.
fn must_match(call: &Call, document: &Document) -> Result<(), Problem> {
    let Some(wanted) = &call.if_match else { return Ok(()) };
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let present = strong(&read::etag(document));
    if wanted.split(',').map(strong).any(|tag| tag == "*" || tag == present) {
        return Ok(());
    }
    let message = format!(
        "The entity has changed: its entity tag is {}, and If-Match asks for {wanted}. Read it again and repeat the change.",
        read::etag(document)
    );
    Err(GraphError::new(412, "PreconditionFailed", message).into())
}

/// Why a document could not be written, for its caller.
pub(super) fn refuse(kind: &DocumentKind, document: &Document, conflict: DocumentConflict) -> Problem {
    let name = kind.name();
    match conflict {
        DocumentConflict::NameTaken(taken) => {
            let given = document.body.get(taken.property).and_then(Value::as_str).unwrap_or(&taken.name);
            let message = format!("There is another {name} whose {} is '{given}'. Choose another one.", taken.property);
            GraphError::new(409, "nameAlreadyExists", message).about(taken.property).into()
        }
        DocumentConflict::KeyTaken => {
            let message = format!("There is a {name} with the id '{}' already. Choose another id.", document.key.id);
            GraphError::new(409, "nameAlreadyExists", message).about("id").into()
        }
        DocumentConflict::TargetMissing(reference) => target_missing(&reference),
        DocumentConflict::Held { by, property } => {
            let message = format!(
                "The {name} '{}' is in use by the {} '{}' ({property}). Change or delete that first.",
                document.key.id,
                by.kind.name(),
                by.id
            );
            GraphError::new(409, "resourceInUse", message).into()
        }
        DocumentConflict::Stale => {
            let message =
                format!("The {name} '{}' was changed at the same time. Read it again and repeat.", document.key.id);
            GraphError::new(409, "resourceChanged", message).into()
        }
    }
}

/// Returns the error for a reference to what does not exist.
pub(super) fn target_missing(reference: &DocumentReference) -> Problem {
    let (target, property) = (&reference.target, reference.property);
    let message = format!(
        "'{property}' names the {} '{}', which does not exist. Use the id of an existing one.",
        target.kind.name(),
        target.id
    );
    GraphError::bad_request(message).about(property).into()
}
