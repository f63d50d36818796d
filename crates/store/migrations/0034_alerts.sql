-- Tenants whose alert rules have to be evaluated, because something that they watch has changed.
CREATE TABLE alert_evaluations (
    tenant_id BLOB NOT NULL PRIMARY KEY
) WITHOUT ROWID, STRICT;

INSERT INTO alert_evaluations SELECT id FROM tenants;

-- The record of each alert that is active, by its rule.
CREATE TABLE active_alerts (
    tenant_id BLOB NOT NULL,
    rule_id TEXT NOT NULL,
    record_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, rule_id)
) WITHOUT ROWID, STRICT;
