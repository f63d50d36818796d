-- The schema of SQLite's migrations up to 0038, as PostgreSQL says it. Texts compare by their bytes,
-- as in SQLite.

CREATE TABLE accepted_requests (
    tenant_id BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    caller BYTEA NOT NULL,
    accepted_at BIGINT NOT NULL,
    answer TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, hash)
);

CREATE TABLE active_alerts (
    tenant_id BYTEA NOT NULL,
    rule_id TEXT COLLATE "C" NOT NULL,
    record_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, rule_id)
);

CREATE TABLE activities (
    tenant_id BYTEA NOT NULL,
    id BYTEA NOT NULL,
    partner_id BYTEA NOT NULL,
    first_action_id BIGINT NOT NULL,
    last_action_id BIGINT NOT NULL,
    deployments BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE alert_evaluations (
    tenant_id BYTEA NOT NULL PRIMARY KEY
);

CREATE TABLE app_certificates (
    tenant_id BYTEA NOT NULL,
    app_id BYTEA NOT NULL,
    -- DER of X.509.
    certificate BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, app_id)
);

CREATE TABLE apps (
    tenant_id BYTEA NOT NULL,
    id BYTEA NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    secret_hash BYTEA,
    permissions TEXT COLLATE "C" NOT NULL,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE audit (
    tenant_id BYTEA NOT NULL,
    id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    verb TEXT COLLATE "C" NOT NULL,
    resource_type TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    resource_name TEXT COLLATE "C" NOT NULL,
    result TEXT COLLATE "C" NOT NULL,
    changes TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    old_activity TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE authorization_codes (
    tenant_id BYTEA NOT NULL,
    code BYTEA NOT NULL UNIQUE,
    user_id BYTEA NOT NULL,
    client_id BYTEA NOT NULL,
    redirect_uri TEXT COLLATE "C" NOT NULL,
    challenge TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    nonce TEXT COLLATE "C",
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, code)
);

CREATE TABLE bulk_action_items (
    tenant_id BYTEA NOT NULL,
    bulk_action_id BYTEA NOT NULL,
    number BIGINT NOT NULL,
    cloud_pc_id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    due_at BIGINT,
    action_id BIGINT,
    failure TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, bulk_action_id, number)
);

CREATE TABLE bulk_actions (
    tenant_id BYTEA NOT NULL,
    id BYTEA NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    request TEXT COLLATE "C" NOT NULL,
    in_maintenance_window BIGINT NOT NULL CHECK (in_maintenance_window IN (0, 1)),
    requested_by TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    pending_count BIGINT NOT NULL,
    in_progress_count BIGINT NOT NULL,
    succeeded_count BIGINT NOT NULL,
    failed_count BIGINT NOT NULL,
    not_supported_count BIGINT NOT NULL,
    open BIGINT NOT NULL CHECK (open IN (0, 1)),
    due_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE changes (
    tenant_id BYTEA NOT NULL,
    -- Within the tenant, without gaps, in the order of the commits.
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    -- Id of the entity that contains it; empty if it stands alone.
    parent TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    what TEXT COLLATE "C" NOT NULL CHECK (what IN ('created', 'updated', 'deleted')),
    PRIMARY KEY (tenant_id, number)
);

CREATE TABLE cloud_pc_name_parts (
    tenant BYTEA NOT NULL,
    part TEXT COLLATE "C" NOT NULL,
    cloud_pc_id BYTEA NOT NULL,
    repeats BIGINT NOT NULL,
    PRIMARY KEY (tenant, part, cloud_pc_id)
);

CREATE TABLE cloud_pc_reviews (
    tenant_id BYTEA NOT NULL,
    cloud_pc_id BYTEA NOT NULL,
    user_access_level TEXT COLLATE "C" NOT NULL,
    subscription_id TEXT COLLATE "C",
    storage_account_id TEXT COLLATE "C",
    access_tier TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    -- When the restore point was taken with which the review began; null until then.
    restore_point_at BIGINT,
    PRIMARY KEY (tenant_id, cloud_pc_id)
);

CREATE TABLE cloud_pcs (
    tenant_id BYTEA NOT NULL,
    id BYTEA NOT NULL UNIQUE,
    managed_device_id BYTEA NOT NULL,
    aad_device_id BYTEA NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    managed_device_name TEXT COLLATE "C" NOT NULL,
    user_id BYTEA NOT NULL,
    user_principal_name TEXT COLLATE "C" NOT NULL,
    service_plan_id BYTEA NOT NULL,
    image_id TEXT COLLATE "C" NOT NULL,
    provisioning_policy_id TEXT COLLATE "C" NOT NULL,
    provisioning_policy_name TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    product TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    status_detail TEXT COLLATE "C",
    power_intended TEXT COLLATE "C" NOT NULL,
    power_observed TEXT COLLATE "C" NOT NULL,
    os_version TEXT COLLATE "C" NOT NULL,
    user_account_type TEXT COLLATE "C" NOT NULL,
    provisioned_at BIGINT,
    grace_ends_at BIGINT,
    modified_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    status_before TEXT COLLATE "C",
    display_name_folded TEXT COLLATE "C" NOT NULL DEFAULT '',
    single_sign_on BIGINT NOT NULL DEFAULT 0 CHECK (single_sign_on IN (0, 1)),
    provisioning_type TEXT COLLATE "C" NOT NULL DEFAULT 'dedicated',
    user_experience_type TEXT COLLATE "C" NOT NULL DEFAULT 'cloudPc',
    session_started_at BIGINT,
    on_premises_connection_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE counters (
    tenant_id BYTEA NOT NULL,
    -- What is numbered.
    kind TEXT COLLATE "C" NOT NULL,
    -- A tenant, partner or Cloud PC.
    owner_id BYTEA NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, kind, owner_id)
);

CREATE TABLE deployment_pages (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    tenant_id BYTEA NOT NULL,
    partner_id BYTEA NOT NULL,
    after_action_id BIGINT NOT NULL,
    last_action_id BIGINT NOT NULL,
    format BIGINT NOT NULL,
    body BYTEA,
    UNIQUE (tenant_id, partner_id, after_action_id),
    CHECK ((format = 0) = (body IS NULL))
);

CREATE TABLE deployments (
    tenant_id BYTEA NOT NULL,
    partner_id BYTEA NOT NULL,
    action_id BIGINT NOT NULL,
    activity_id BYTEA NOT NULL,
    line_id BIGINT NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    at_front BIGINT NOT NULL CHECK (at_front IN (0, 1)),
    failure_code TEXT COLLATE "C",
    failure_message TEXT COLLATE "C",
    started_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, partner_id, action_id)
);

CREATE TABLE desktop_tickets (
    -- SHA-256 of what opens the next stage: the ticket, later the key.
    hash BYTEA PRIMARY KEY,
    -- SHA-256 of the ticket, once its page is open.
    page_hash BYTEA,
    tenant_id BYTEA NOT NULL,
    -- With whom limits count it.
    caller TEXT COLLATE "C" NOT NULL,
    -- What it admits to, and for whom: the server's business.
    admission TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE device_codes (
    tenant_id BYTEA NOT NULL,
    device_code BYTEA NOT NULL UNIQUE,
    user_code BYTEA NOT NULL UNIQUE,
    client_id BYTEA NOT NULL,
    client_name TEXT COLLATE "C" NOT NULL,
    peer TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    declined BIGINT NOT NULL CHECK (declined IN (0, 1)),
    user_tenant_id BYTEA,
    user_id BYTEA,
    interval_s BIGINT NOT NULL,
    polled_at BIGINT,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, device_code),
    CHECK ((user_id IS NULL) = (user_tenant_id IS NULL))
);

CREATE TABLE document_names (
    tenant_id BYTEA NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    parent_id TEXT COLLATE "C" NOT NULL,
    property TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, type, parent_id, property, name)
);

CREATE TABLE document_references (
    tenant_id BYTEA NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    parent_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    property TEXT COLLATE "C" NOT NULL,
    target_type TEXT COLLATE "C" NOT NULL,
    target_parent_id TEXT COLLATE "C" NOT NULL,
    target_id TEXT COLLATE "C" NOT NULL,
    holds BIGINT NOT NULL CHECK (holds IN (0, 1)),
    PRIMARY KEY (tenant_id, type, parent_id, id, property, target_type, target_parent_id, target_id)
);

CREATE TABLE documents (
    tenant_id BYTEA NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    parent_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    shape BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    sealed TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, type, parent_id, id)
);

CREATE TABLE entitlements (
    tenant_id BYTEA NOT NULL,
    cloud_pc_id BYTEA NOT NULL,
    user_id BYTEA NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL,
    -- Empty for a licence: any assignment of the policy will do.
    assignment_id TEXT COLLATE "C" NOT NULL,
    service_plan_id BYTEA NOT NULL,
    -- None for a seat.
    sku_id BYTEA,
    PRIMARY KEY (tenant_id, user_id, cloud_pc_id)
);

CREATE TABLE export_files (
    tenant_id BYTEA NOT NULL,
    job_id TEXT COLLATE "C" NOT NULL,
    caller TEXT COLLATE "C" NOT NULL,
    requested_at BIGINT NOT NULL,
    -- NULL until the job has ended.
    expires_at BIGINT,
    -- NULL if the job has failed.
    content BYTEA,
    PRIMARY KEY (tenant_id, job_id)
);

CREATE TABLE frontline_activations (
    tenant_id BYTEA NOT NULL,
    cloud_pc_id BYTEA NOT NULL,
    service_plan_id BYTEA NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, cloud_pc_id)
);

CREATE TABLE group_members (
    tenant_id BYTEA NOT NULL,
    group_id BYTEA NOT NULL,
    user_id BYTEA NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, group_id, user_id)
);

CREATE TABLE groups (
    tenant_id BYTEA NOT NULL,
    id BYTEA NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    mail_nickname TEXT COLLATE "C" NOT NULL,
    mail_enabled BIGINT NOT NULL CHECK (mail_enabled IN (0, 1)),
    security_enabled BIGINT NOT NULL CHECK (security_enabled IN (0, 1)),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE health_checks (
    line_id BIGINT PRIMARY KEY,
    tenant_id BYTEA NOT NULL,
    cloud_pc_id BYTEA NOT NULL,
    restarts BIGINT NOT NULL,
    restart_at BIGINT,
    forget_at BIGINT,
    due_at BIGINT NOT NULL,
    enrol BIGINT NOT NULL DEFAULT 0 CHECK (enrol IN (0, 1))
);

CREATE TABLE health_events (
    tenant_id BYTEA NOT NULL,
    cloud_pc_id BYTEA NOT NULL,
    id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    well BIGINT NOT NULL CHECK (well IN (0, 1)),
    message TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, cloud_pc_id, id)
);

CREATE TABLE license_assignments (
    tenant_id BYTEA NOT NULL,
    holder_kind TEXT COLLATE "C" NOT NULL,
    holder_id BYTEA NOT NULL,
    sku_id BYTEA NOT NULL,
    assigned_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, holder_kind, holder_id, sku_id)
);

CREATE TABLE licenses (
    tenant_id BYTEA NOT NULL,
    user_id BYTEA NOT NULL,
    sku_id BYTEA NOT NULL,
    since BIGINT NOT NULL,
    granted BIGINT NOT NULL CHECK (granted IN (0, 1)),
    PRIMARY KEY (tenant_id, user_id, sku_id)
);

CREATE TABLE lines (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    tenant_id BYTEA NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE TABLE partner_totals (
    tenant_id BYTEA NOT NULL,
    partner_id BYTEA NOT NULL,
    deployments BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, partner_id)
);

CREATE TABLE partners (
    tenant_id BYTEA NOT NULL,
    id BYTEA NOT NULL,
    partner_id TEXT COLLATE "C" NOT NULL,
    enable_connection BIGINT NOT NULL CHECK (enable_connection IN (0, 1)),
    agent TEXT COLLATE "C",
    allowed_urls TEXT COLLATE "C" NOT NULL,
    last_sync_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, partner_id)
);

CREATE TABLE policy_schedules (
    tenant_id BYTEA NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL,
    schedule TEXT COLLATE "C" NOT NULL,
    next_run_at BIGINT,
    PRIMARY KEY (tenant_id, policy_id)
);

CREATE TABLE provisioning_queue (
    tenant_id BYTEA NOT NULL,
    user_id BYTEA NOT NULL,
    queued_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);

CREATE TABLE remote_sessions (
    tenant_id BYTEA NOT NULL,
    cloud_pc_id BYTEA NOT NULL,
    id BIGINT NOT NULL,
    user_principal_name TEXT COLLATE "C" NOT NULL,
    signed_in_at BIGINT NOT NULL,
    signed_out_at BIGINT,
    -- When the service last saw a session that it watches.
    seen_at BIGINT,
    round_trip_ms BIGINT,
    bandwidth_kbps BIGINT,
    sign_in_ms BIGINT,
    PRIMARY KEY (tenant_id, cloud_pc_id, id)
);

CREATE TABLE reports (
    tenant_id BYTEA NOT NULL,
    partner_id BYTEA NOT NULL,
    id BIGINT NOT NULL,
    report_type TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    cloud_pc_name TEXT COLLATE "C" NOT NULL,
    agent_name TEXT COLLATE "C" NOT NULL,
    activity_id BYTEA,
    message TEXT COLLATE "C" NOT NULL,
    agent TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, partner_id, id)
);

CREATE TABLE restore_point_schedules (
    tenant_id BYTEA NOT NULL,
    cloud_pc_id BYTEA NOT NULL,
    due_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, cloud_pc_id)
);

CREATE TABLE rollout_cloud_pcs (
    tenant_id BYTEA NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL,
    cloud_pc_id BYTEA NOT NULL,
    region BIGINT NOT NULL CHECK (region IN (0, 1)),
    single_sign_on BIGINT NOT NULL CHECK (single_sign_on IN (0, 1)),
    action_id BIGINT,
    brings_region TEXT COLLATE "C",
    brings_single_sign_on BIGINT CHECK (brings_single_sign_on IN (0, 1)),
    outdated BIGINT NOT NULL DEFAULT 0 CHECK (outdated IN (0, 1)),
    PRIMARY KEY (tenant_id, policy_id, cloud_pc_id)
);

CREATE TABLE rollouts (
    tenant_id BYTEA NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL,
    reserve_percentage BIGINT NOT NULL,
    requested_by TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    failed BIGINT NOT NULL CHECK (failed IN (0, 1)),
    due BIGINT NOT NULL CHECK (due IN (0, 1)),
    PRIMARY KEY (tenant_id, policy_id)
);

CREATE TABLE settings (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE shared_assignment_queue (
    tenant_id BYTEA NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL,
    assignment_id TEXT COLLATE "C" NOT NULL,
    -- Whether it waits for a licence that no Cloud PC uses.
    waits BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, policy_id, assignment_id)
);

CREATE TABLE sign_in_counters (
    tenant_id BYTEA NOT NULL,
    subject BYTEA NOT NULL,
    count BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, subject)
);

CREATE TABLE snapshots (
    tenant_id BYTEA NOT NULL,
    cloud_pc_id BYTEA NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    snapshot_type TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    last_restored_at BIGINT,
    PRIMARY KEY (tenant_id, cloud_pc_id, id)
);

CREATE TABLE subscriptions (
    tenant_id BYTEA NOT NULL,
    sku_id BYTEA NOT NULL,
    service_plan_id BYTEA NOT NULL,
    sku_part_number TEXT COLLATE "C" NOT NULL,
    units BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, sku_id)
);

CREATE TABLE tenants (
    id BYTEA NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL
);

CREATE TABLE undo_records (
    action_id BIGINT PRIMARY KEY,
    tenant_id BYTEA NOT NULL,
    line_id BIGINT NOT NULL,
    cloud_pc_id BYTEA NOT NULL,
    before TEXT COLLATE "C" NOT NULL,
    kept_until BIGINT NOT NULL,
    -- None until the driver was asked.
    size_bytes BIGINT,
    -- What was set aside may be gone: there is no way back any more, only something to clear away.
    dropping BIGINT NOT NULL CHECK (dropping IN (0, 1)),
    -- When there is something to do about it: to ask for its size, to drop it, or to try again.
    due_at BIGINT NOT NULL,
    tag_nonce BIGINT
);

CREATE TABLE users (
    tenant_id BYTEA NOT NULL,
    id BYTEA NOT NULL,
    user_principal_name TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C",
    roles TEXT COLLATE "C" NOT NULL,
    permissions TEXT COLLATE "C" NOT NULL,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    given_name TEXT COLLATE "C",
    surname TEXT COLLATE "C",
    mail TEXT COLLATE "C",
    mail_nickname TEXT COLLATE "C",
    job_title TEXT COLLATE "C",
    department TEXT COLLATE "C",
    usage_location TEXT COLLATE "C",
    created_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE webhook_deliveries (
    tenant_id BYTEA NOT NULL,
    webhook_id TEXT COLLATE "C" NOT NULL,
    -- Who receives: the caller that created or resumed the webhook, as JSON.
    caller TEXT COLLATE "C" NOT NULL,
    client_state TEXT COLLATE "C",
    -- The number of the key that signs, and until when the one before signs too.
    key_version BIGINT NOT NULL,
    old_key_until BIGINT,
    -- The last change that was delivered or skipped.
    epoch BIGINT NOT NULL,
    number BIGINT NOT NULL,
    -- Failed attempts since the last success, and since when they fail.
    attempts BIGINT NOT NULL,
    failing_since BIGINT,
    -- When to try again; null while suspended.
    next_at BIGINT,
    detail TEXT COLLATE "C" NOT NULL,
    delivered_at BIGINT,
    PRIMARY KEY (tenant_id, webhook_id)
);

CREATE TABLE workers (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    lease_until BIGINT NOT NULL
);

CREATE TABLE actions (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    tenant_id BYTEA NOT NULL,
    line_id BIGINT NOT NULL REFERENCES lines (id),
    target TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    params TEXT COLLATE "C" NOT NULL,
    requested_by TEXT COLLATE "C" NOT NULL,
    requested_at BIGINT NOT NULL,
    deadline_at BIGINT NOT NULL,
    idempotency_key TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    started_at BIGINT,
    updated_at BIGINT NOT NULL,
    cancel_requested_at BIGINT,
    outcome TEXT COLLATE "C",
    steps TEXT COLLATE "C" NOT NULL,
    events BIGINT NOT NULL,
    -- When a worker may take it. None while a worker has it, while it is stuck and after its end.
    claim_at BIGINT,
    worker_id BIGINT NOT NULL,
    at_front BIGINT NOT NULL CHECK (at_front IN (0, 1)),
    -- What Graph calls a remote action, and what has not ended. Plain columns: SQLite does not read generated ones from an index.
    remote BIGINT NOT NULL CHECK (remote IN (0, 1)),
    open BIGINT NOT NULL CHECK (open IN (0, 1)),
    tag_nonce BIGINT,
    bulk_action_id BYTEA,
    CHECK (open = 1 OR (at_front = 0 AND claim_at IS NULL)),
    CHECK (worker_id = 0 OR (at_front = 1 AND claim_at IS NULL))
);

CREATE TABLE action_events (
    action_id BIGINT NOT NULL REFERENCES actions (id),
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    event TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (action_id, number)
);

CREATE INDEX accepted_requests_caller ON accepted_requests (tenant_id, caller, accepted_at);
CREATE INDEX accepted_requests_time ON accepted_requests (tenant_id, accepted_at);
CREATE INDEX actions_by_target ON actions (line_id, remote, id);
CREATE INDEX actions_claim ON actions (claim_at, id) WHERE at_front = 1 AND claim_at IS NOT NULL;
CREATE UNIQUE INDEX actions_front ON actions (line_id) WHERE at_front = 1;
CREATE UNIQUE INDEX actions_idempotency ON actions (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX actions_open ON actions (line_id, nullif(remote, 0)) WHERE open = 1;
CREATE INDEX actions_waiting ON actions (deadline_at, id) WHERE at_front = 0 AND open = 1;
CREATE INDEX actions_worker ON actions (worker_id) WHERE worker_id <> 0;
CREATE INDEX audit_time ON audit (tenant_id, at, id);
CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);
CREATE INDEX bulk_action_items_action ON bulk_action_items (tenant_id, action_id, bulk_action_id, number)
    WHERE action_id IS NOT NULL;
CREATE INDEX bulk_action_items_due ON bulk_action_items (tenant_id, bulk_action_id, due_at, number)
    WHERE due_at IS NOT NULL;
CREATE INDEX bulk_actions_created ON bulk_actions (tenant_id, created_at, id);
CREATE INDEX bulk_actions_due ON bulk_actions (tenant_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX bulk_actions_open ON bulk_actions (tenant_id, open, id) WHERE open = 1;
CREATE INDEX cloud_pcs_device_name ON cloud_pcs (tenant_id, managed_device_name);
CREATE INDEX cloud_pcs_display_name ON cloud_pcs (tenant_id, display_name, id);
CREATE INDEX cloud_pcs_display_name_folded ON cloud_pcs (tenant_id, display_name_folded, id);
CREATE INDEX cloud_pcs_grace ON cloud_pcs (grace_ends_at, tenant_id, id) WHERE grace_ends_at IS NOT NULL;
CREATE UNIQUE INDEX cloud_pcs_managed_device ON cloud_pcs (tenant_id, managed_device_id);
CREATE INDEX cloud_pcs_managed_device_name ON cloud_pcs (tenant_id, managed_device_name, id);
CREATE INDEX cloud_pcs_provisioning_policy ON cloud_pcs (tenant_id, lower(provisioning_policy_id), id, display_name);
CREATE INDEX cloud_pcs_provisioning_policy_name ON cloud_pcs (tenant_id, provisioning_policy_name, id, display_name);
CREATE INDEX cloud_pcs_service_plan ON cloud_pcs (tenant_id, service_plan_id, id, display_name);
CREATE INDEX cloud_pcs_status ON cloud_pcs (tenant_id, status, id, display_name);
CREATE INDEX cloud_pcs_user ON cloud_pcs (tenant_id, user_id, id);
CREATE INDEX cloud_pcs_user_principal_name ON cloud_pcs (tenant_id, lower(user_principal_name), id);
CREATE INDEX deployment_pages_format ON deployment_pages (format, id);
CREATE INDEX desktop_tickets_caller ON desktop_tickets (tenant_id, caller);
CREATE INDEX desktop_tickets_expires ON desktop_tickets (expires_at);
CREATE INDEX device_codes_expiry ON device_codes (expires_at);
CREATE INDEX document_names_of ON document_names (tenant_id, type, parent_id, id);
CREATE INDEX document_references_to ON document_references (tenant_id, target_type, target_parent_id, target_id, holds);
CREATE UNIQUE INDEX entitlements_cloud_pc ON entitlements (tenant_id, cloud_pc_id);
CREATE INDEX entitlements_of_policy ON entitlements (tenant_id, policy_id, cloud_pc_id);
CREATE INDEX entitlements_seats ON entitlements (tenant_id, service_plan_id, assignment_id, policy_id);
CREATE INDEX export_files_expiry ON export_files (expires_at, tenant_id, job_id) WHERE expires_at IS NOT NULL;
CREATE INDEX export_files_pending ON export_files (requested_at, tenant_id, job_id) WHERE expires_at IS NULL;
CREATE INDEX frontline_activations_plan ON frontline_activations (tenant_id, service_plan_id, cloud_pc_id);
CREATE INDEX group_members_of ON group_members (tenant_id, user_id, group_id);
CREATE INDEX groups_display_name ON groups (tenant_id, display_name, id);
CREATE INDEX health_checks_due ON health_checks (due_at, line_id);
CREATE INDEX license_assignments_of ON license_assignments (tenant_id, sku_id, holder_kind, holder_id);
CREATE INDEX licenses_by_age ON licenses (tenant_id, sku_id, granted, since, user_id);
CREATE INDEX policy_schedules_due ON policy_schedules (next_run_at, tenant_id, policy_id)
    WHERE next_run_at IS NOT NULL;
CREATE INDEX provisioning_queue_turns ON provisioning_queue (tenant_id, queued_at, user_id);
CREATE INDEX remote_sessions_open ON remote_sessions (tenant_id, cloud_pc_id, signed_out_at, id) WHERE signed_out_at IS NULL;
CREATE INDEX restore_point_schedules_due ON restore_point_schedules (due_at, tenant_id, cloud_pc_id);
CREATE INDEX rollout_cloud_pcs_outdated ON rollout_cloud_pcs (tenant_id, policy_id, cloud_pc_id)
    WHERE outdated = 1;
CREATE INDEX rollout_cloud_pcs_running ON rollout_cloud_pcs (tenant_id, policy_id, cloud_pc_id)
    WHERE action_id IS NOT NULL;
CREATE INDEX rollout_cloud_pcs_waiting ON rollout_cloud_pcs (tenant_id, policy_id, cloud_pc_id)
    WHERE action_id IS NULL;
CREATE INDEX rollouts_due ON rollouts (tenant_id, started_at, policy_id) WHERE due = 1;
CREATE INDEX shared_assignment_queue_due ON shared_assignment_queue (waits, tenant_id, policy_id, assignment_id);
CREATE INDEX sign_in_counters_expiry ON sign_in_counters (expires_at);
CREATE INDEX snapshots_created ON snapshots (tenant_id, created_at, id);
CREATE UNIQUE INDEX snapshots_id ON snapshots (tenant_id, id);
CREATE INDEX undo_records_due ON undo_records (due_at, action_id);
CREATE INDEX undo_records_kept ON undo_records (action_id, line_id, size_bytes) WHERE dropping = 0 AND size_bytes > 0;
CREATE UNIQUE INDEX undo_records_line ON undo_records (line_id) WHERE dropping = 0;
CREATE INDEX users_display_name ON users (tenant_id, display_name, id);
CREATE INDEX users_domain ON users (lower(substr(user_principal_name, strpos(user_principal_name, '@') + 1)), tenant_id);
CREATE INDEX users_mail ON users (tenant_id, lower(coalesce(mail, '')), id);
CREATE UNIQUE INDEX users_name ON users (tenant_id, lower(user_principal_name));

CREATE FUNCTION refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0];
END;
$$;

CREATE TRIGGER action_events_append_only BEFORE UPDATE ON action_events
    FOR EACH ROW EXECUTE FUNCTION refuse_update('the log of an action is append-only');

CREATE TRIGGER audit_never_updated BEFORE UPDATE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse_update('the audit log is never updated');
