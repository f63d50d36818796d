-- The whole schema of version 1.
--
-- GUIDs are 16-byte values (PostgreSQL has the type uuid, of the same size and order), times are microseconds since 1970, words of the domain
-- are text under a CHECK, and what is only ever read whole is JSON text. Every key begins with the tenant, or with a number that the store
-- made and that belongs to one tenant (a line, an action).

CREATE TABLE tenants (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE apps (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    secret_hash BLOB,
    permissions TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;

CREATE TABLE users (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    user_principal_name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    password_hash TEXT,
    roles TEXT NOT NULL,
    permissions TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;

CREATE UNIQUE INDEX users_name ON users (tenant_id, lower(user_principal_name));

CREATE TABLE service_plans (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    plan TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;

CREATE TABLE gallery_images (
    tenant_id BLOB NOT NULL,
    id TEXT NOT NULL,
    image TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;

CREATE TABLE cloud_pcs (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL UNIQUE,
    managed_device_id BLOB NOT NULL,
    aad_device_id BLOB NOT NULL,
    display_name TEXT NOT NULL,
    managed_device_name TEXT NOT NULL,
    user_id BLOB NOT NULL,
    user_principal_name TEXT NOT NULL,
    service_plan_id BLOB NOT NULL,
    image_id TEXT NOT NULL,
    provisioning_policy_id TEXT NOT NULL,
    provisioning_policy_name TEXT NOT NULL,
    region TEXT NOT NULL,
    product TEXT NOT NULL CHECK (product IN ('enterprise', 'business', 'frontline')),
    status TEXT NOT NULL CHECK (status IN (
        'notProvisioned', 'provisioning', 'provisioned', 'provisionedWithWarnings', 'inGracePeriod', 'deprovisioning', 'failed', 'resizing',
        'restoring'
    )),
    status_detail TEXT,
    power_intended TEXT NOT NULL CHECK (power_intended IN ('running', 'poweredOff', 'unknown')),
    power_observed TEXT NOT NULL CHECK (power_observed IN ('running', 'poweredOff', 'unknown')),
    os_version TEXT NOT NULL CHECK (os_version IN ('windows10', 'windows11')),
    user_account_type TEXT NOT NULL CHECK (user_account_type IN ('standardUser', 'administrator')),
    provisioned_at INTEGER,
    grace_ends_at INTEGER,
    modified_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;

CREATE UNIQUE INDEX cloud_pcs_managed_device ON cloud_pcs (tenant_id, managed_device_id);
CREATE INDEX cloud_pcs_user ON cloud_pcs (tenant_id, user_id, id);

CREATE TABLE snapshots (
    tenant_id BLOB NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    id TEXT NOT NULL,
    snapshot_type TEXT NOT NULL CHECK (snapshot_type IN ('automatic', 'manual')),
    created_at INTEGER NOT NULL,
    last_restored_at INTEGER,
    PRIMARY KEY (tenant_id, cloud_pc_id, id)
) WITHOUT ROWID, STRICT;

CREATE UNIQUE INDEX snapshots_id ON snapshots (tenant_id, id);

-- One row per name that actions were asked for on: the line they stand in. Its number stands for (tenant, name) in every index over actions.
-- The indexes are small for it, and whoever walks a fleet in the same order again touches them in order: random GUIDs in the indexes of a
-- hot table cost SQLite most of its throughput.
CREATE TABLE lines (
    id INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;

-- An action is the fold of its events. AUTOINCREMENT, so that a number is never given twice.
CREATE TABLE actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BLOB NOT NULL,
    line_id INTEGER NOT NULL REFERENCES lines (id),
    target TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN (
        'reprovision', 'resize', 'restore', 'rename', 'reboot', 'powerOn', 'powerOff', 'createSnapshot', 'troubleshoot', 'deployAgent'
    )),
    params TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    deadline_at INTEGER NOT NULL,
    idempotency_key TEXT,
    state TEXT NOT NULL CHECK (state IN (
        'pending', 'running', 'undoing', 'done', 'failed', 'canceled', 'notSupported', 'stuck'
    )),
    epoch INTEGER NOT NULL,
    started_at INTEGER,
    updated_at INTEGER NOT NULL,
    cancel_requested_at INTEGER,
    outcome TEXT,
    steps TEXT NOT NULL,
    events INTEGER NOT NULL,
    -- When a worker may take it: when it is due, or when its lease ends. None while it is stuck and after its end.
    claim_at INTEGER,
    leased INTEGER NOT NULL CHECK (leased IN (0, 1)),
    at_front INTEGER NOT NULL CHECK (at_front IN (0, 1)),
    -- What Graph calls a remote action, and what has not ended. Plain columns under a CHECK: SQLite does not read generated ones from an index.
    remote INTEGER NOT NULL CHECK (remote = (kind <> 'deployAgent')),
    open INTEGER NOT NULL CHECK (open = (state IN ('pending', 'running', 'undoing', 'stuck'))),
    CHECK (open = 1 OR (at_front = 0 AND claim_at IS NULL)),
    CHECK (leased = 0 OR (at_front = 1 AND claim_at IS NOT NULL))
) STRICT;

-- At most one action of a line can be claimed, so at most one runs on a machine.
CREATE UNIQUE INDEX actions_front ON actions (line_id) WHERE at_front = 1;
-- A machine takes one open remote action at a time.
CREATE UNIQUE INDEX actions_open_remote ON actions (line_id, remote) WHERE remote = 1 AND open = 1;
CREATE UNIQUE INDEX actions_idempotency ON actions (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX actions_line ON actions (line_id, id) WHERE open = 1;
CREATE INDEX actions_claim ON actions (claim_at, id) WHERE at_front = 1 AND claim_at IS NOT NULL;
-- Those that wait behind another one, by when they have waited too long.
CREATE INDEX actions_waiting ON actions (deadline_at, id) WHERE at_front = 0 AND open = 1;
CREATE INDEX actions_by_target ON actions (line_id, remote, id);

CREATE TABLE action_events (
    action_id INTEGER NOT NULL REFERENCES actions (id),
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (action_id, number)
) WITHOUT ROWID, STRICT;

CREATE TRIGGER action_events_append_only BEFORE UPDATE ON action_events
BEGIN
    SELECT RAISE(ABORT, 'the log of an action is append-only');
END;

-- The result of a deployment, clustered in the order in which it is served. It names its action without a reference: without an index by
-- action, which nothing else needs, checking a reference is a walk over the table.
CREATE TABLE deployments (
    tenant_id BLOB NOT NULL,
    partner_id BLOB NOT NULL,
    action_id INTEGER NOT NULL,
    activity_id BLOB NOT NULL,
    line_id INTEGER NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN (
        'pending', 'running', 'undoing', 'done', 'failed', 'canceled', 'notSupported', 'stuck'
    )),
    at_front INTEGER NOT NULL CHECK (at_front IN (0, 1)),
    step TEXT,
    failure_code TEXT,
    failure_message TEXT,
    started_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, partner_id, action_id)
) WITHOUT ROWID, STRICT;

-- Which stretch of the actions an activity is in. One call writes its deployments in one transaction, so the stretch holds little else.
CREATE TABLE activities (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    partner_id BLOB NOT NULL,
    first_action_id INTEGER NOT NULL,
    last_action_id INTEGER NOT NULL,
    deployments INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;

CREATE TABLE partners (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    partner_id TEXT NOT NULL,
    enable_connection INTEGER NOT NULL CHECK (enable_connection IN (0, 1)),
    agent TEXT,
    allowed_urls TEXT NOT NULL,
    last_sync_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, partner_id)
) WITHOUT ROWID, STRICT;

-- Counts that would take a walk over millions of rows to make. They outlive the partner, as its results and reports do.
CREATE TABLE partner_totals (
    tenant_id BLOB NOT NULL,
    partner_id BLOB NOT NULL,
    deployments INTEGER NOT NULL,
    reports INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, partner_id)
) WITHOUT ROWID, STRICT;

CREATE TABLE reports (
    tenant_id BLOB NOT NULL,
    partner_id BLOB NOT NULL,
    id INTEGER NOT NULL,
    report_type TEXT NOT NULL CHECK (report_type IN ('configureAgent', 'deployAgent')),
    actor TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    target TEXT NOT NULL,
    cloud_pc_name TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    activity_id BLOB,
    message TEXT NOT NULL,
    agent TEXT,
    PRIMARY KEY (tenant_id, partner_id, id)
) WITHOUT ROWID, STRICT;

CREATE TABLE audit (
    tenant_id BLOB NOT NULL,
    id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    activity TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;

CREATE TRIGGER audit_never_updated BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never updated');
END;

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID, STRICT;
