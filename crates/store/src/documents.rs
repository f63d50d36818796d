//! Documents: configuration entities that are kept as JSON.
//!
//! A document, the names that have to be unique and its references are written together. What is
//! unique, what refers to what and how many documents there may be is the caller's business, except
//! for the references of assignments to groups and users.

use cloudpc_model::{
    BUILT_IN_ROLES, Change, ChangeKind, Document, DocumentKey, DocumentReference, DocumentType, EntityType, GroupId,
    Object, ReferenceStrength, TenantId,
};

use uuid::Uuid;

use crate::connection::dialect::{json_text, json_values};
use crate::connection::{Row, params};
use crate::rows::{self, Columns, json};
use crate::{Reader, StoreError, Tx};

/// Number of the form in which bodies are written today.
const SHAPE: i64 = 1;

macro_rules! columns {
    () => {
        "tenant_id, parent_id, id, revision, body, status, sealed, created_at, modified_at"
    };
}

/// A name that has to be unique among the documents of its type and parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentName {
    /// Property that holds the name.
    pub property: &'static str,
    /// Name, folded so that what counts as the same name is equal.
    pub name: String,
}

/// What is stored beside a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentIndex {
    /// Its unique names.
    pub names: Vec<DocumentName>,
    /// Its references.
    pub references: Vec<DocumentReference>,
}

/// Why a document cannot be written or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentConflict {
    /// Another document has this name.
    NameTaken(DocumentName),
    /// There is a document with this key.
    KeyTaken,
    /// The target of a reference does not exist.
    TargetMissing(DocumentReference),
    /// Another document refers to this one and holds it.
    Held {
        /// The one that refers.
        by: DocumentKey,
        /// The property that refers.
        property: String,
    },
    /// The document was changed or deleted since it was read.
    Stale,
}

impl Reader<'_> {
    /// One document.
    pub fn document(&self, tenant: TenantId, key: &DocumentKey) -> Result<Option<Document>, StoreError> {
        self.row(
            concat!(
                "SELECT ",
                columns!(),
                " FROM documents WHERE tenant_id = ?1 AND type = ?2 AND parent_id = ?3 AND id = ?4"
            ),
            params![tenant.0, key.kind.name(), key.parent, key.id],
            |row| document(row, key.kind),
        )
    }

    /// Up to `limit` documents of a type below a parent by id, those after `after`. Documents that
    /// stand alone have the empty parent.
    pub fn document_list(
        &self,
        tenant: TenantId,
        kind: DocumentType,
        parent: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM documents WHERE tenant_id = ?1 AND type = ?2 AND parent_id = ?3 AND id > ?4 ORDER BY id LIMIT ?5"
            ),
            params![tenant.0, kind.name(), parent, after.unwrap_or_default(), rows::limit(limit)],
            |row| document(row, kind),
        )
    }

    /// All documents of two types that stand alone, by type and id, where there are few.
    pub(crate) fn document_list_of(
        &self,
        tenant: TenantId,
        kinds: [DocumentType; 2],
    ) -> Result<Vec<Document>, StoreError> {
        let mut found = self.rows(
            concat!(
                "SELECT ",
                columns!(),
                ", type FROM documents WHERE tenant_id = ?1 AND type IN (?2, ?3) AND parent_id = ''"
            ),
            params![tenant.0, kinds[0].name(), kinds[1].name()],
            |row| document(row, document_type(&row.get::<String>(9)?)?),
        )?;
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// The provisioning policies with other scope tags than the default one, by id, with their
    /// tags.
    pub fn policy_scope_tags(&self, tenant: TenantId) -> Result<Vec<(String, Vec<String>)>, StoreError> {
        self.rows(
            concat!(
                "SELECT id, ",
                json_text!("body", "scopeIds"),
                " FROM documents WHERE tenant_id = ?1 AND type = 'cloudPcProvisioningPolicy' AND parent_id = '' AND ",
                json_text!("body", "scopeIds"),
                " <> '[\"0\"]'"
            ),
            params![tenant.0],
            |row| {
                let mut columns = Columns::new(row, "documents");
                Ok((columns.get()?, columns.json()?))
            },
        )
    }

    /// The ids and names of the on-premises connections of a tenant; there are few.
    pub fn connection_names(&self, tenant: TenantId) -> Result<Vec<(String, String)>, StoreError> {
        self.rows(
            concat!(
                "SELECT id, ",
                json_text!("body", "displayName"),
                " FROM documents WHERE tenant_id = ?1 AND type = 'cloudPcOnPremisesConnection' AND parent_id = ''"
            ),
            params![tenant.0],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// The documents of a type below each of these parents, up to `limit` in all, by parent and id.
    pub fn document_children(
        &self,
        tenant: TenantId,
        kind: DocumentType,
        parents: &[&str],
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM documents WHERE tenant_id = ?1 AND type = ?2 AND parent_id IN ",
                json_values!("?3"),
                " ORDER BY parent_id, id LIMIT ?4"
            ),
            params![tenant.0, kind.name(), json(&parents), rows::limit(limit)],
            |row| document(row, kind),
        )
    }

    /// The assignments of a type to any of these groups, by parent and id.
    pub fn document_assignments(
        &self,
        tenant: TenantId,
        kind: DocumentType,
        groups: &[GroupId],
    ) -> Result<Vec<Document>, StoreError> {
        let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
        let mut found = self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM documents WHERE tenant_id = ?1 AND type = ?2 AND (parent_id, id) IN (
                     SELECT parent_id, id FROM document_references
                     WHERE tenant_id = ?1 AND target_type = 'group' AND target_parent_id = '' AND target_id IN ",
                json_values!("?3"),
                " AND type = ?2)"
            ),
            params![tenant.0, kind.name(), json(&groups)],
            |row| document(row, kind),
        )?;
        // The database would sort a copy of the whole rows.
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// The role assignments that name any of these users and groups, by id.
    pub fn role_assignments_of(&self, tenant: TenantId, principals: &[Uuid]) -> Result<Vec<Document>, StoreError> {
        let kind = DocumentType::UnifiedRoleAssignmentMultiple;
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM documents WHERE tenant_id = ?1 AND type = ?2 AND (parent_id, id) IN (
                     SELECT parent_id, id FROM document_references
                     WHERE tenant_id = ?1 AND target_type = 'principal' AND target_parent_id = '' AND target_id IN ",
                json_values!("?3"),
                " AND type = ?2)"
            ),
            params![tenant.0, kind.name(), json(&principals)],
            |row| document(row, kind),
        )
    }

    /// Number of documents of a type below a parent.
    pub fn document_count(&self, tenant: TenantId, kind: DocumentType, parent: &str) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM documents WHERE tenant_id = ?1 AND type = ?2 AND parent_id = ?3",
            params![tenant.0, kind.name(), parent],
        )
    }

    /// The documents that hold these targets of a type by a reference, each with the id of its
    /// target. Targets that are contained in others are not found.
    pub fn document_holders(
        &self,
        tenant: TenantId,
        kind: DocumentType,
        targets: &[&str],
    ) -> Result<Vec<(String, DocumentKey)>, StoreError> {
        self.rows(
            concat!(
                "SELECT target_id, type, parent_id, id FROM document_references
                 WHERE tenant_id = ?1 AND target_type = ?2 AND target_parent_id = '' AND target_id IN ",
                json_values!("?3"),
                " AND holds = 1"
            ),
            params![tenant.0, kind.name(), json(&targets)],
            |row| {
                let mut columns = Columns::new(row, "document_references");
                let target = columns.get()?;
                let kind = document_type(&columns.get::<String>()?)?;
                Ok((target, DocumentKey { kind, parent: columns.get()?, id: columns.get()? }))
            },
        )
    }

    /// The document that holds `target` by a reference, with the property that refers. What
    /// `target` contains does not hold it.
    fn document_holder(
        &self,
        tenant: TenantId,
        target: &DocumentKey,
    ) -> Result<Option<(DocumentKey, String)>, StoreError> {
        self.row(
            "SELECT type, parent_id, id, property FROM document_references
             WHERE tenant_id = ?1 AND target_type = ?2 AND target_parent_id = ?3 AND target_id = ?4 AND holds = 1
             ORDER BY type, parent_id, id LIMIT 1",
            params![tenant.0, target.kind.name(), target.parent, target.id],
            |row| {
                let mut columns = Columns::new(row, "document_references");
                let kind = document_type(&columns.get::<String>()?)?;
                Ok((DocumentKey { kind, parent: columns.get()?, id: columns.get()? }, columns.get()?))
            },
        )
    }
}

impl Tx<'_> {
    /// Adds a document with its names and references. Its revision is 1.
    pub fn document_insert(
        &mut self,
        document: &Document,
        index: &DocumentIndex,
    ) -> Result<Result<(), DocumentConflict>, StoreError> {
        let key = &document.key;
        if let Err(conflict) = self.document_index_put(document.tenant_id, key, index)? {
            return Ok(Err(conflict));
        }
        let added = self.execute(
            "INSERT INTO documents
               (tenant_id, type, parent_id, id, revision, shape, body, status, sealed, created_at, modified_at)
             VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
            params![
                document.tenant_id.0,
                key.kind.name(),
                key.parent,
                key.id,
                SHAPE,
                json(&document.body),
                json(&document.status),
                json(&document.secret_counts),
                document.created_at.0,
                document.modified_at.0,
            ],
        )?;
        if added == 0 {
            return Ok(Err(DocumentConflict::KeyTaken));
        }
        self.document_directory_references_put(document)?;
        self.changed(document.tenant_id, change(ChangeKind::Created, key, Some(&document.body)));
        self.alert_evaluation_put_by_document(document.tenant_id, key.kind)?;
        Ok(Ok(()))
    }

    /// Replaces a document that was read with `document.revision`, and its names and references;
    /// returns its new revision.
    pub fn document_update(
        &mut self,
        document: &Document,
        index: &DocumentIndex,
    ) -> Result<Result<i64, DocumentConflict>, StoreError> {
        let key = &document.key;
        self.document_index_clear(document.tenant_id, key)?;
        if let Err(conflict) = self.document_index_put(document.tenant_id, key, index)? {
            return Ok(Err(conflict));
        }
        self.document_directory_references_put(document)?;
        let changed = self.execute(
            "UPDATE documents SET revision = revision + 1, shape = ?6, body = ?7, status = ?8, sealed = ?9, modified_at = ?10
             WHERE tenant_id = ?1 AND type = ?2 AND parent_id = ?3 AND id = ?4 AND revision = ?5",
            params![
                document.tenant_id.0,
                key.kind.name(),
                key.parent,
                key.id,
                document.revision,
                SHAPE,
                json(&document.body),
                json(&document.status),
                json(&document.secret_counts),
                document.modified_at.0,
            ],
        )?;
        if changed == 0 {
            return Ok(Err(DocumentConflict::Stale));
        }
        self.changed(document.tenant_id, change(ChangeKind::Updated, key, Some(&document.body)));
        self.alert_evaluation_put_by_document(document.tenant_id, key.kind)?;
        Ok(Ok(document.revision + 1))
    }

    /// Replaces what the engine has written into a document, if it still exists.
    pub fn document_status_put(
        &mut self,
        tenant: TenantId,
        key: &DocumentKey,
        status: &Object,
    ) -> Result<bool, StoreError> {
        let changed = self.execute(
            "UPDATE documents SET revision = revision + 1, status = ?5
             WHERE tenant_id = ?1 AND type = ?2 AND parent_id = ?3 AND id = ?4",
            params![tenant.0, key.kind.name(), key.parent, key.id, json(status)],
        )?;
        if changed == 1 {
            self.changed(tenant, change(ChangeKind::Updated, key, None));
            self.alert_evaluation_put_by_document(tenant, key.kind)?;
        }
        Ok(changed == 1)
    }

    /// Deletes a document and what it contains of the types `children`, with their names and
    /// references, unless another document holds it.
    pub fn document_delete(
        &mut self,
        tenant: TenantId,
        key: &DocumentKey,
        children: &[DocumentType],
    ) -> Result<Result<(), DocumentConflict>, StoreError> {
        if let Some((by, property)) = self.document_holder(tenant, key)? {
            return Ok(Err(DocumentConflict::Held { by, property }));
        }
        let Some(deleted) = self.document(tenant, key)? else { return Ok(Err(DocumentConflict::Stale)) };
        for child in children {
            for document in self.document_list(tenant, *child, &key.id, None, usize::MAX)? {
                self.changed(tenant, change(ChangeKind::Deleted, &document.key, Some(&document.body)));
            }
            for table in [
                "DELETE FROM document_references WHERE tenant_id = ?1 AND type = ?2 AND parent_id = ?3",
                "DELETE FROM document_names WHERE tenant_id = ?1 AND type = ?2 AND parent_id = ?3",
                "DELETE FROM documents WHERE tenant_id = ?1 AND type = ?2 AND parent_id = ?3",
            ] {
                self.execute(table, params![tenant.0, child.name(), key.id])?;
            }
        }
        self.document_index_clear(tenant, key)?;
        self.execute(
            "DELETE FROM documents WHERE tenant_id = ?1 AND type = ?2 AND parent_id = ?3 AND id = ?4",
            params![tenant.0, key.kind.name(), key.parent, key.id],
        )?;
        self.changed(tenant, change(ChangeKind::Deleted, key, Some(&deleted.body)));
        self.alert_evaluation_put_by_document(tenant, key.kind)?;
        Ok(Ok(()))
    }

    fn document_index_clear(&mut self, tenant: TenantId, key: &DocumentKey) -> Result<(), StoreError> {
        for table in [
            "DELETE FROM document_names WHERE tenant_id = ?1 AND type = ?2 AND parent_id = ?3 AND id = ?4",
            "DELETE FROM document_references WHERE tenant_id = ?1 AND type = ?2 AND parent_id = ?3 AND id = ?4",
        ] {
            self.execute(table, params![tenant.0, key.kind.name(), key.parent, key.id])?;
        }
        Ok(())
    }

    fn document_index_put(
        &mut self,
        tenant: TenantId,
        key: &DocumentKey,
        index: &DocumentIndex,
    ) -> Result<Result<(), DocumentConflict>, StoreError> {
        for reference in &index.references {
            let target = &reference.target;
            if reference.strength != ReferenceStrength::Weak && self.document(tenant, target)?.is_none() {
                return Ok(Err(DocumentConflict::TargetMissing(reference.clone())));
            }
            self.execute(
                "INSERT INTO document_references
                   (tenant_id, type, parent_id, id, property, target_type, target_parent_id, target_id, holds)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
                params![
                    tenant.0,
                    key.kind.name(),
                    key.parent,
                    key.id,
                    reference.property,
                    target.kind.name(),
                    target.parent,
                    target.id,
                    reference.strength == ReferenceStrength::Holds,
                ],
            )?;
        }
        for name in &index.names {
            let added = self.execute(
                "INSERT INTO document_names (tenant_id, type, parent_id, property, name, id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                params![tenant.0, key.kind.name(), key.parent, name.property, name.name, key.id],
            )?;
            if added == 0 {
                return Ok(Err(DocumentConflict::NameTaken(name.clone())));
            }
        }
        Ok(Ok(()))
    }

    /// Refers from an assignment to its group, or to its users and groups, which need not exist.
    fn document_directory_references_put(&mut self, assignment: &Document) -> Result<(), StoreError> {
        let key = &assignment.key;
        let group = assignment.assigned_group().map(|group| ("target/groupId", "group", group.0));
        let principals = assignment.principals().into_iter().map(|id| ("principalIds", "principal", id));
        for (property, target_type, target) in group.into_iter().chain(principals) {
            self.execute(
                "INSERT INTO document_references
                   (tenant_id, type, parent_id, id, property, target_type, target_parent_id, target_id, holds)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, '', ?7, 0) ON CONFLICT DO NOTHING",
                params![
                    assignment.tenant_id.0,
                    key.kind.name(),
                    key.parent,
                    key.id,
                    property,
                    target_type,
                    target.to_string()
                ],
            )?;
        }
        Ok(())
    }

    /// Adds the role definitions that every tenant has, to a tenant that lacks them.
    pub(crate) fn built_in_roles_put(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        for role in BUILT_IN_ROLES {
            let body = serde_json::json!({ "displayName": role.name, "description": role.description });
            self.execute(
                "INSERT INTO documents
                   (tenant_id, type, parent_id, id, revision, shape, body, status, sealed, created_at, modified_at)
                 VALUES (?1, ?2, '', ?3, 1, ?4, ?5, '{}', '{}', 0, 0) ON CONFLICT DO NOTHING",
                params![tenant.0, DocumentType::UnifiedRoleDefinition.name(), role.id, SHAPE, json(&body)],
            )?;
        }
        Ok(())
    }
}

/// A change of a document, named by its body if that is known.
fn change(kind: ChangeKind, key: &DocumentKey, body: Option<&Object>) -> Change {
    let name = body.and_then(|body| body.get("displayName")?.as_str()).unwrap_or_default();
    Change::new(kind, EntityType::Document(key.kind), &key.id).within(&key.parent).named(name)
}

fn document(row: Row<'_>, kind: DocumentType) -> Result<Document, StoreError> {
    let mut columns = Columns::new(row, "documents");
    Ok(Document {
        tenant_id: TenantId(columns.get()?),
        key: DocumentKey { kind, parent: columns.get()?, id: columns.get()? },
        revision: columns.get()?,
        body: columns.json()?,
        status: columns.json()?,
        secret_counts: columns.json()?,
        created_at: columns.time()?,
        modified_at: columns.time()?,
    })
}

fn document_type(name: &str) -> Result<DocumentType, StoreError> {
    let known = DocumentType::ALL.iter().find(|kind| kind.name() == name).copied();
    known.ok_or_else(|| StoreError::Corrupt { table: "documents", what: format!("the type {name:?}") })
}
