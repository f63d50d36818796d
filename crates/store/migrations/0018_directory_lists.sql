-- Lists of users, groups and restore points are selected and sorted by indexes, as those of Cloud
-- PCs are.
CREATE INDEX users_display_name ON users (tenant_id, display_name, id);
CREATE INDEX users_mail ON users (tenant_id, lower(coalesce(mail, '')), id);
CREATE INDEX groups_display_name ON groups (tenant_id, display_name, id);
CREATE INDEX snapshots_created ON snapshots (tenant_id, created_at, id);
