-- A later request can join a rollout while it changes a Cloud PC. The action in progress stays if it
-- brings the wanted values, and is replaced if not.
--
-- brings_region, brings_single_sign_on: the values that the action brings; none for a setting that it
-- leaves alone, and for the actions of an earlier version. outdated: a later request has to compare
-- these values with the ones that are wanted now.
ALTER TABLE rollout_cloud_pcs ADD COLUMN brings_region TEXT;
ALTER TABLE rollout_cloud_pcs ADD COLUMN brings_single_sign_on INTEGER CHECK (brings_single_sign_on IN (0, 1));
ALTER TABLE rollout_cloud_pcs ADD COLUMN outdated INTEGER NOT NULL DEFAULT 0 CHECK (outdated IN (0, 1));

CREATE INDEX rollout_cloud_pcs_outdated ON rollout_cloud_pcs (tenant_id, policy_id, cloud_pc_id)
    WHERE outdated = 1;

-- Tenants take turns, each with its oldest rollout.
DROP INDEX rollouts_due;
CREATE INDEX rollouts_due ON rollouts (tenant_id, started_at, policy_id) WHERE due = 1;
