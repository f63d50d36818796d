-- Who uses a Cloud PC, and what they see. A shared Cloud PC has a user while one is connected; without a user,
-- user_id is the nil GUID, in entitlements too.
ALTER TABLE cloud_pcs ADD COLUMN provisioning_type TEXT NOT NULL DEFAULT 'dedicated';
ALTER TABLE cloud_pcs ADD COLUMN user_experience_type TEXT NOT NULL DEFAULT 'cloudPc';
ALTER TABLE cloud_pcs ADD COLUMN session_started_at INTEGER;
-- The connection that the Cloud PC was provisioned with; empty if none, or if that was before this column was there.
ALTER TABLE cloud_pcs ADD COLUMN on_premises_connection_id TEXT NOT NULL DEFAULT '';
UPDATE cloud_pcs SET provisioning_type = 'sharedByUser' WHERE product = 'frontline';

-- Assignments whose shared Cloud PCs may no longer be as many as they ask for.
CREATE TABLE shared_assignment_queue (
    tenant_id BLOB NOT NULL,
    policy_id TEXT NOT NULL,
    assignment_id TEXT NOT NULL,
    -- Whether it waits for a licence that no Cloud PC uses.
    waits INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, policy_id, assignment_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX shared_assignment_queue_due ON shared_assignment_queue (waits, tenant_id, policy_id, assignment_id);
