-- Bulk actions, with the number of items in each state. open: whether items have not ended. due_at:
-- when the engine looks at them next; none while every item that is left waits for the end of an
-- action, and once all have ended.
CREATE TABLE bulk_actions (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    display_name TEXT NOT NULL,
    request TEXT NOT NULL,
    in_maintenance_window INTEGER NOT NULL CHECK (in_maintenance_window IN (0, 1)),
    requested_by TEXT NOT NULL,
    request_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    pending_count INTEGER NOT NULL,
    in_progress_count INTEGER NOT NULL,
    succeeded_count INTEGER NOT NULL,
    failed_count INTEGER NOT NULL,
    not_supported_count INTEGER NOT NULL,
    open INTEGER NOT NULL CHECK (open IN (0, 1)),
    due_at INTEGER,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;

CREATE INDEX bulk_actions_created ON bulk_actions (tenant_id, created_at, id);
CREATE INDEX bulk_actions_open ON bulk_actions (tenant_id, open, id) WHERE open = 1;
CREATE INDEX bulk_actions_due ON bulk_actions (tenant_id, due_at, id) WHERE due_at IS NOT NULL;

-- The Cloud PCs of bulk actions. due_at: of a pending item, when the engine may begin its action.
CREATE TABLE bulk_action_items (
    tenant_id BLOB NOT NULL,
    bulk_action_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    cloud_pc_id TEXT NOT NULL,
    state TEXT NOT NULL,
    due_at INTEGER,
    action_id INTEGER,
    failure TEXT,
    PRIMARY KEY (tenant_id, bulk_action_id, number)
) WITHOUT ROWID, STRICT;

CREATE INDEX bulk_action_items_due ON bulk_action_items (tenant_id, bulk_action_id, due_at, number)
    WHERE due_at IS NOT NULL;
CREATE INDEX bulk_action_items_action ON bulk_action_items (tenant_id, action_id, bulk_action_id, number)
    WHERE action_id IS NOT NULL;

-- The bulk action that an action is an item of.
ALTER TABLE actions ADD COLUMN bulk_action_id BLOB;
