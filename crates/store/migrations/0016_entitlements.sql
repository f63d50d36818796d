-- Cloud PCs that provisioning policies asked for.
--
-- A row for each such Cloud PC. It says what entitles the Cloud PC's user to it: a licence of a product under a policy, or a seat of an assignment
-- of a frontline policy, which has no licence of its own. Cloud PCs without a row were not made by a policy and are left alone.
CREATE TABLE entitlements (
    tenant_id BLOB NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    policy_id TEXT NOT NULL,
    -- Empty for a licence: any assignment of the policy will do.
    assignment_id TEXT NOT NULL,
    service_plan_id BLOB NOT NULL,
    -- None for a seat.
    sku_id BLOB,
    PRIMARY KEY (tenant_id, user_id, cloud_pc_id)
) WITHOUT ROWID, STRICT;

CREATE UNIQUE INDEX entitlements_cloud_pc ON entitlements (tenant_id, cloud_pc_id);
CREATE INDEX entitlements_of_policy ON entitlements (tenant_id, policy_id, cloud_pc_id);
-- Seats in use, of a plan and of each assignment.
CREATE INDEX entitlements_seats ON entitlements (tenant_id, service_plan_id, assignment_id, policy_id);

-- Cloud PCs in their grace period, by its end.
CREATE INDEX cloud_pcs_grace ON cloud_pcs (grace_ends_at, tenant_id, id) WHERE grace_ends_at IS NOT NULL;
-- Names of devices are drawn until one is free.
CREATE INDEX cloud_pcs_device_name ON cloud_pcs (tenant_id, managed_device_name);
