-- The undo window.
--
-- The way back from an action that is done: what the Cloud PC was before, until when the disk that was set aside is kept, and what that takes.
-- No tenant in the key: the number of an action belongs to one.
CREATE TABLE undo_records (
    action_id INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    line_id INTEGER NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    before TEXT NOT NULL,
    kept_until INTEGER NOT NULL,
    -- None until the driver was asked.
    size_bytes INTEGER,
    -- What was set aside may be gone: there is no way back any more, only something to clear away.
    dropping INTEGER NOT NULL CHECK (dropping IN (0, 1)),
    -- When there is something to do about it: to ask for its size, to drop it, or to try again.
    due_at INTEGER NOT NULL
) STRICT;

-- A machine has one way back.
CREATE UNIQUE INDEX undo_records_line ON undo_records (line_id) WHERE dropping = 0;
CREATE INDEX undo_records_due ON undo_records (due_at, action_id);
-- What the budget is for, oldest first.
CREATE INDEX undo_records_kept ON undo_records (action_id, line_id, size_bytes) WHERE dropping = 0 AND size_bytes > 0;

-- The status before the action that has taken the Cloud PC out of use. For those that are out of use now, what was told by their detail until now.
ALTER TABLE cloud_pcs ADD COLUMN status_before TEXT CHECK (status_before IN (
    'notProvisioned', 'provisioning', 'provisioned', 'provisionedWithWarnings', 'inGracePeriod', 'deprovisioning', 'failed', 'resizing',
    'restoring'
));

UPDATE cloud_pcs SET status_before = CASE
    WHEN status_detail IS NULL THEN 'provisioned'
    WHEN status = 'provisioning' THEN 'failed'
    ELSE 'provisionedWithWarnings'
END
WHERE status IN ('provisioning', 'resizing', 'restoring');

-- The step that dropped the old disk is no more. An action that had begun it has only its end before it, and must not turn back to a disk that is
-- gone for having waited through the upgrade.
UPDATE actions SET deadline_at = deadline_at + 365 * 86400 * 1000000 WHERE at_front = 1 AND steps LIKE '%"dropOldDisk"%';

-- One more kind of action. A CHECK that allows more says nothing about the rows that are there, so its text is all there is to change; copying
-- the table would take minutes where it is large. SQLite documents this way under "Making Other Kinds Of Table Schema Changes".
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(sql, '''restore'', ''rename''', '''restore'', ''undo'', ''rename''')
WHERE type = 'table' AND name = 'actions';

PRAGMA writable_schema = RESET;
