-- Requests that were carried out, so that a repeat of one starts nothing twice. The hash is of the
-- caller and all that makes two requests alike. The answer is NULL until it is known.
CREATE TABLE accepted_requests (
    tenant_id BLOB NOT NULL,
    hash BLOB NOT NULL,
    caller BLOB NOT NULL,
    accepted_at INTEGER NOT NULL,
    answer TEXT,
    PRIMARY KEY (tenant_id, hash)
) WITHOUT ROWID, STRICT;

CREATE INDEX accepted_requests_caller ON accepted_requests (tenant_id, caller, accepted_at);
CREATE INDEX accepted_requests_time ON accepted_requests (tenant_id, accepted_at);
