-- The change feed: a row for each entity that a transaction has changed.
CREATE TABLE changes (
    tenant_id BLOB NOT NULL,
    -- Within the tenant, without gaps, in the order of the commits.
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    -- Id of the entity that contains it; empty if it stands alone.
    parent TEXT NOT NULL,
    name TEXT NOT NULL,
    what TEXT NOT NULL CHECK (what IN ('created', 'updated', 'deleted')),
    PRIMARY KEY (tenant_id, number)
) WITHOUT ROWID, STRICT;
