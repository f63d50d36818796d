-- What the token service has to remember between requests: codes that wait to be entered, and how often someone has tried to prove who they
-- are. Kept here, a restart forgets neither.

-- Codes of the device authorization grant (RFC 8628). Both codes are SHA-256 hashes. A tenant of zeros: that of whoever signs in.
CREATE TABLE device_codes (
    tenant_id BLOB NOT NULL,
    device_code BLOB NOT NULL UNIQUE,
    user_code BLOB NOT NULL UNIQUE,
    client_id BLOB NOT NULL,
    client_name TEXT NOT NULL,
    peer TEXT NOT NULL,
    scope TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    declined INTEGER NOT NULL CHECK (declined IN (0, 1)),
    user_tenant_id BLOB,
    user_id BLOB,
    interval_s INTEGER NOT NULL,
    polled_at INTEGER,
    seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, device_code),
    CHECK ((user_id IS NULL) = (user_tenant_id IS NULL))
) WITHOUT ROWID, STRICT;

CREATE INDEX device_codes_expiry ON device_codes (expires_at);

-- Counts within a window that begins with the first event. The subject is a SHA-256 hash of what is counted. A tenant of zeros: of none.
CREATE TABLE sign_in_counters (
    tenant_id BLOB NOT NULL,
    subject BLOB NOT NULL,
    count INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, subject)
) WITHOUT ROWID, STRICT;

CREATE INDEX sign_in_counters_expiry ON sign_in_counters (expires_at);

-- A tenant is found by the domain of its users' names.
CREATE INDEX users_domain ON users (lower(substr(user_principal_name, instr(user_principal_name, '@') + 1)), tenant_id);
