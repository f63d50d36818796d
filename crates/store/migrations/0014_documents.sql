-- Documents: configuration entities that are kept as JSON. The key columns are computed by the program, which also decides what is unique
-- and what refers to what.
--
-- body: what callers write; status: what the engine writes; sealed: secrets. revision: rises with each change; shape: number of the form in
-- which body and status are written. Ids are folded: those that look like GUIDs are in lower case.
CREATE TABLE documents (
    tenant_id BLOB NOT NULL,
    type TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    shape INTEGER NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    sealed TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, type, parent_id, id)
) WITHOUT ROWID, STRICT;

-- Names that are unique among the documents of a type, or of a type below one parent.
CREATE TABLE document_names (
    tenant_id BLOB NOT NULL,
    type TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    property TEXT NOT NULL,
    name TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, type, parent_id, property, name)
) WITHOUT ROWID, STRICT;

CREATE INDEX document_names_of ON document_names (tenant_id, type, parent_id, id);

-- References of documents to others. holds: the target cannot be deleted while the reference stands.
CREATE TABLE document_references (
    tenant_id BLOB NOT NULL,
    type TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    id TEXT NOT NULL,
    property TEXT NOT NULL,
    target_type TEXT NOT NULL,
    target_parent_id TEXT NOT NULL,
    target_id TEXT NOT NULL,
    holds INTEGER NOT NULL CHECK (holds IN (0, 1)),
    PRIMARY KEY (tenant_id, type, parent_id, id, property, target_type, target_parent_id, target_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX document_references_to ON document_references (tenant_id, target_type, target_parent_id, target_id, holds);
