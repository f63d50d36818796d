-- Where the delivery of each webhook stands. The webhook itself is a document.
CREATE TABLE webhook_deliveries (
    tenant_id BLOB NOT NULL,
    webhook_id TEXT NOT NULL,
    -- Who receives: the caller that created or resumed the webhook, as JSON.
    caller TEXT NOT NULL,
    client_state TEXT,
    -- The number of the key that signs, and until when the one before signs too.
    key_version INTEGER NOT NULL,
    old_key_until INTEGER,
    -- The last change that was delivered or skipped.
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    -- Failed attempts since the last success, and since when they fail.
    attempts INTEGER NOT NULL,
    failing_since INTEGER,
    -- When to try again; null while suspended.
    next_at INTEGER,
    detail TEXT NOT NULL,
    delivered_at INTEGER,
    PRIMARY KEY (tenant_id, webhook_id)
) WITHOUT ROWID, STRICT;
