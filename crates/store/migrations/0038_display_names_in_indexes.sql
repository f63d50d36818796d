-- The indexes that group Cloud PCs also hold the display name, after the id: a list of a group that
-- is sorted by it, or selected by it as well, reads only the rows that it returns.

DROP INDEX cloud_pcs_provisioning_policy;
DROP INDEX cloud_pcs_provisioning_policy_name;
DROP INDEX cloud_pcs_service_plan;
DROP INDEX cloud_pcs_status;

CREATE INDEX cloud_pcs_provisioning_policy ON cloud_pcs (tenant_id, lower(provisioning_policy_id), id, display_name);
CREATE INDEX cloud_pcs_provisioning_policy_name ON cloud_pcs (tenant_id, provisioning_policy_name, id, display_name);
CREATE INDEX cloud_pcs_service_plan ON cloud_pcs (tenant_id, service_plan_id, id, display_name);
CREATE INDEX cloud_pcs_status ON cloud_pcs (tenant_id, status, id, display_name);
