-- The directory: what users are for people, groups with their members, and licences.

ALTER TABLE users ADD COLUMN given_name TEXT;
ALTER TABLE users ADD COLUMN surname TEXT;
ALTER TABLE users ADD COLUMN mail TEXT;
ALTER TABLE users ADD COLUMN job_title TEXT;
ALTER TABLE users ADD COLUMN department TEXT;
ALTER TABLE users ADD COLUMN usage_location TEXT;
ALTER TABLE users ADD COLUMN created_at INTEGER;

CREATE TABLE groups (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT,
    mail_nickname TEXT NOT NULL,
    mail_enabled INTEGER NOT NULL CHECK (mail_enabled IN (0, 1)),
    security_enabled INTEGER NOT NULL CHECK (security_enabled IN (0, 1)),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;

-- Only users are members.
CREATE TABLE group_members (
    tenant_id BLOB NOT NULL,
    group_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    added_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, group_id, user_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX group_members_of ON group_members (tenant_id, user_id, group_id);

-- A number of licences of one service plan.
CREATE TABLE subscriptions (
    tenant_id BLOB NOT NULL,
    sku_id BLOB NOT NULL,
    service_plan_id BLOB NOT NULL,
    sku_part_number TEXT NOT NULL,
    units INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sku_id)
) WITHOUT ROWID, STRICT;

-- Who is entitled to licences: a user, or the members of a group.
CREATE TABLE license_assignments (
    tenant_id BLOB NOT NULL,
    holder_kind TEXT NOT NULL,
    holder_id BLOB NOT NULL,
    sku_id BLOB NOT NULL,
    assigned_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, holder_kind, holder_id, sku_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX license_assignments_of ON license_assignments (tenant_id, sku_id, holder_kind, holder_id);

-- A row for each user who is entitled to a licence, by whichever assignments. granted: whether the user has one of the subscription's units, or waits
-- for one. since: the age of the entitlement, which decides who is next.
CREATE TABLE licenses (
    tenant_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    sku_id BLOB NOT NULL,
    since INTEGER NOT NULL,
    granted INTEGER NOT NULL CHECK (granted IN (0, 1)),
    PRIMARY KEY (tenant_id, user_id, sku_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX licenses_by_age ON licenses (tenant_id, sku_id, granted, since, user_id);

-- Users whose Cloud PCs may no longer be those that policies ask for.
CREATE TABLE provisioning_queue (
    tenant_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    queued_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX provisioning_queue_by_age ON provisioning_queue (queued_at, tenant_id, user_id);
