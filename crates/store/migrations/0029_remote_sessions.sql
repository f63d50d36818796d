-- Who was connected to which Cloud PC, and when. The store keeps the latest of each Cloud PC.
CREATE TABLE remote_sessions (
    tenant_id BLOB NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    id INTEGER NOT NULL,
    user_principal_name TEXT NOT NULL,
    signed_in_at INTEGER NOT NULL,
    signed_out_at INTEGER,
    -- When the service last saw a session that it watches.
    seen_at INTEGER,
    round_trip_ms INTEGER,
    bandwidth_kbps INTEGER,
    sign_in_ms INTEGER,
    PRIMARY KEY (tenant_id, cloud_pc_id, id)
) WITHOUT ROWID, STRICT;

-- The column of the condition is in the key, so that it is preferred to the key of the table.
CREATE INDEX remote_sessions_open ON remote_sessions (tenant_id, cloud_pc_id, signed_out_at, id) WHERE signed_out_at IS NULL;
