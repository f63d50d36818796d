-- What is wrong with machines, and what is done about it.
--
-- One row for each machine that is to be looked at, because something may have befallen it, because it is to be started again, or because it was. A line belongs to one tenant.
CREATE TABLE health_checks (
    line_id INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    restarts INTEGER NOT NULL,
    restart_at INTEGER,
    forget_at INTEGER,
    due_at INTEGER NOT NULL
) STRICT;

CREATE INDEX health_checks_due ON health_checks (due_at, line_id);

-- What was found, where that was news. The store keeps the latest of each Cloud PC.
CREATE TABLE health_events (
    tenant_id BLOB NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    name TEXT NOT NULL,
    well INTEGER NOT NULL CHECK (well IN (0, 1)),
    message TEXT NOT NULL,
    PRIMARY KEY (tenant_id, cloud_pc_id, id)
) WITHOUT ROWID, STRICT;
