-- Cloud PCs under review by an administrator, and what their users may do meanwhile.
CREATE TABLE cloud_pc_reviews (
    tenant_id BLOB NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    user_access_level TEXT NOT NULL,
    subscription_id TEXT,
    storage_account_id TEXT,
    access_tier TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    -- When the restore point was taken with which the review began; null until then.
    restore_point_at INTEGER,
    PRIMARY KEY (tenant_id, cloud_pc_id)
) WITHOUT ROWID, STRICT;

-- Frontline Cloud PCs that use a licence now.
CREATE TABLE frontline_activations (
    tenant_id BLOB NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    service_plan_id BLOB NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, cloud_pc_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX frontline_activations_plan ON frontline_activations (tenant_id, service_plan_id, cloud_pc_id);

-- When the next automatic restore point of a Cloud PC is due.
CREATE TABLE restore_point_schedules (
    tenant_id BLOB NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, cloud_pc_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX restore_point_schedules_due ON restore_point_schedules (due_at, tenant_id, cloud_pc_id);

-- Who asked for an export job, and the file that it has produced. Neither is in the job's document.
CREATE TABLE export_files (
    tenant_id BLOB NOT NULL,
    job_id TEXT NOT NULL,
    caller TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    -- NULL until the job has ended.
    expires_at INTEGER,
    -- NULL if the job has failed.
    content BLOB,
    PRIMARY KEY (tenant_id, job_id)
) STRICT;

CREATE INDEX export_files_pending ON export_files (requested_at, tenant_id, job_id) WHERE expires_at IS NULL;
CREATE INDEX export_files_expiry ON export_files (expires_at, tenant_id, job_id) WHERE expires_at IS NOT NULL;

-- Those that run were in use before licences were counted.
INSERT INTO frontline_activations (tenant_id, cloud_pc_id, service_plan_id, since)
SELECT tenant_id, id, service_plan_id, modified_at FROM cloud_pcs
WHERE product = 'frontline' AND power_intended = 'running' AND provisioned_at IS NOT NULL;
