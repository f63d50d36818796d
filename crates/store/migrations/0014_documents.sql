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

-- Service plans and gallery images are documents from here on.
INSERT INTO documents (tenant_id, type, parent_id, id, revision, shape, body, status, sealed, created_at, modified_at)
SELECT
    tenant_id, 'cloudPcServicePlan', '', plan ->> 'id', 1, 1,
    json_object(
        'displayName', plan ->> 'display_name', 'vCpuCount', plan -> 'vcpu_count', 'ramInGB', plan -> 'ram_gib',
        'storageInGB', plan -> 'storage_gib', 'userProfileInGB', 0, 'supportedSolution', 'windows365',
        'type', iif(plan ->> 'product' = 'business', 'business', 'enterprise'),
        'provisioningType', iif(plan ->> 'product' = 'frontline', 'sharedByUser', 'dedicated')
    ),
    json_object('product', plan ->> 'product', 'gpu', plan -> 'gpu'),
    '{}', 0, 0
FROM service_plans;

INSERT INTO documents (tenant_id, type, parent_id, id, revision, shape, body, status, sealed, created_at, modified_at)
SELECT
    tenant_id, 'cloudPcGalleryImage', '', id, 1, 1,
    json_object(
        'displayName', image ->> 'display_name', 'sizeInGB', image -> 'size_gib',
        'osVersionNumber', coalesce(
            image ->> 'os_version_number', iif(image ->> 'os_version' = 'windows10', '10.0.19045', '10.0.22000')
        )
    ),
    '{}', '{}', 0, 0
FROM gallery_images;

DROP TABLE service_plans;
DROP TABLE gallery_images;
