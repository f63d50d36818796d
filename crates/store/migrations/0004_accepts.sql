-- Less to write for each accepted action.

-- One index of what is open where there were two. A machine takes one open remote action at a time, and any number of deployments: a NULL is
-- like no other.
DROP INDEX actions_open_remote;
DROP INDEX actions_line;
CREATE UNIQUE INDEX actions_open ON actions (line_id, nullif(remote, 0)) WHERE open = 1;

-- The reports of a partner are numbered from one, and that is their count.
ALTER TABLE partner_totals DROP COLUMN reports;
