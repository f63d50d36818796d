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

-- Those that run were in use before licences were counted.
INSERT INTO frontline_activations (tenant_id, cloud_pc_id, service_plan_id, since)
SELECT tenant_id, id, service_plan_id, modified_at FROM cloud_pcs
WHERE product = 'frontline' AND power_intended = 'running' AND provisioned_at IS NOT NULL;
