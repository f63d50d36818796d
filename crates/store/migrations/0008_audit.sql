-- Rows of the audit log say what was done and how it ended in columns of their own. A row from before keeps its text, and what is known of it is read from that text once, here.
--
-- Verbs and kinds of resources are words of the model without a CHECK: the log gets new ones often, and a CHECK would cost a copy of the whole log each time.
CREATE TABLE typed_audit (
    tenant_id BLOB NOT NULL,
    id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    resource_name TEXT NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('success', 'clientError', 'failure', 'timeout')),
    changes TEXT NOT NULL,
    request_id TEXT NOT NULL,
    old_activity TEXT,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;

INSERT INTO typed_audit
SELECT
    tenant_id,
    id,
    at,
    actor,
    CASE
        WHEN activity GLOB 'Cancel * CloudPC' THEN 'cancelAction'
        WHEN activity GLOB 'Settle * CloudPC' THEN 'settleAction'
        WHEN activity GLOB '*Check CloudPC: *' THEN 'checkHealth'
        WHEN activity GLOB 'Let mishap befall *' THEN 'inject'
        WHEN activity = 'Advance clock to idle' THEN 'advanceToIdle'
        WHEN activity GLOB 'Add *' THEN 'create'
        WHEN activity GLOB 'Remove *' THEN 'delete'
        WHEN substr(activity, 1, instr(activity || ' ', ' ') - 1) IN (
            'Create', 'Update', 'Delete', 'Reprovision', 'Resize', 'Restore', 'Undo', 'Rename', 'Reboot', 'PowerOn', 'PowerOff',
            'CreateSnapshot', 'Troubleshoot', 'DeployAgent', 'ConfigureAgent', 'SetDetection', 'AllowUrls', 'Enable', 'Disable',
            'Rotate', 'Replace', 'Pause', 'Resume', 'Advance', 'Load', 'Reset', 'Clear'
        ) THEN lower(substr(activity, 1, 1)) || substr(activity, 2, instr(activity || ' ', ' ') - 2)
        ELSE 'unknown'
    END,
    resource_type,
    resource_id,
    '',
    CASE
        WHEN activity GLOB '*: failed' OR activity GLOB '*: stuck' THEN 'failure'
        WHEN activity GLOB '*: canceled' OR activity GLOB '*: notSupported' THEN 'clientError'
        ELSE 'success'
    END,
    '[]',
    request_id,
    activity
FROM audit;

DROP TABLE audit;
ALTER TABLE typed_audit RENAME TO audit;

CREATE TRIGGER audit_never_updated BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never updated');
END;
