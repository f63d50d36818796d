-- Rollouts: bringing settings of a changed provisioning policy to its existing Cloud PCs.
--
-- The latest rollout of each policy. due: the engine has to look at it, because it has just begun or
-- one of its actions has ended.
CREATE TABLE rollouts (
    tenant_id BLOB NOT NULL,
    policy_id TEXT NOT NULL,
    reserve_percentage INTEGER NOT NULL,
    requested_by TEXT NOT NULL,
    request_id TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    failed INTEGER NOT NULL CHECK (failed IN (0, 1)),
    due INTEGER NOT NULL CHECK (due IN (0, 1)),
    PRIMARY KEY (tenant_id, policy_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX rollouts_due ON rollouts (started_at, tenant_id, policy_id) WHERE due = 1;

-- Cloud PCs that a rollout has still to change, with the settings to bring to each. action_id: the
-- action that changes it; none while it waits for its turn.
CREATE TABLE rollout_cloud_pcs (
    tenant_id BLOB NOT NULL,
    policy_id TEXT NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    region INTEGER NOT NULL CHECK (region IN (0, 1)),
    single_sign_on INTEGER NOT NULL CHECK (single_sign_on IN (0, 1)),
    action_id INTEGER,
    PRIMARY KEY (tenant_id, policy_id, cloud_pc_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX rollout_cloud_pcs_waiting ON rollout_cloud_pcs (tenant_id, policy_id, cloud_pc_id)
    WHERE action_id IS NULL;
CREATE INDEX rollout_cloud_pcs_running ON rollout_cloud_pcs (tenant_id, policy_id, cloud_pc_id)
    WHERE action_id IS NOT NULL;

-- Schedules by which policies are applied. next_run_at: none once a schedule has ended.
CREATE TABLE policy_schedules (
    tenant_id BLOB NOT NULL,
    policy_id TEXT NOT NULL,
    schedule TEXT NOT NULL,
    next_run_at INTEGER,
    PRIMARY KEY (tenant_id, policy_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX policy_schedules_due ON policy_schedules (next_run_at, tenant_id, policy_id)
    WHERE next_run_at IS NOT NULL;

ALTER TABLE cloud_pcs ADD COLUMN single_sign_on INTEGER NOT NULL DEFAULT 0 CHECK (single_sign_on IN (0, 1));
