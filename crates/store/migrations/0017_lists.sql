-- Lists of Cloud PCs are selected and sorted by indexes. The id follows each key, so that rows with
-- equal keys have an order.
--
-- `lower` folds ASCII only, as user principal names and GUIDs are compared. A display name is folded
-- as a whole by the program, which compares it so in `tolower`.

ALTER TABLE cloud_pcs ADD COLUMN display_name_folded TEXT NOT NULL DEFAULT '';

UPDATE cloud_pcs SET display_name_folded = folded(display_name);

CREATE INDEX cloud_pcs_display_name ON cloud_pcs (tenant_id, display_name, id);
CREATE INDEX cloud_pcs_display_name_folded ON cloud_pcs (tenant_id, display_name_folded, id);
CREATE INDEX cloud_pcs_managed_device_name ON cloud_pcs (tenant_id, managed_device_name, id);
CREATE INDEX cloud_pcs_user_principal_name ON cloud_pcs (tenant_id, lower(user_principal_name), id);
CREATE INDEX cloud_pcs_provisioning_policy ON cloud_pcs (tenant_id, lower(provisioning_policy_id), id);
CREATE INDEX cloud_pcs_provisioning_policy_name ON cloud_pcs (tenant_id, provisioning_policy_name, id);
CREATE INDEX cloud_pcs_service_plan ON cloud_pcs (tenant_id, service_plan_id, id);
CREATE INDEX cloud_pcs_status ON cloud_pcs (tenant_id, status, id);

CREATE INDEX audit_time ON audit (tenant_id, at, id);

-- The sequences of three letters in folded display names: `contains` of three letters and more finds
-- its Cloud PCs here, in the order of their ids.
CREATE TABLE cloud_pc_trigrams (
    tenant BLOB NOT NULL,
    trigram TEXT NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    PRIMARY KEY (tenant, trigram, cloud_pc_id)
) WITHOUT ROWID, STRICT;

WITH RECURSIVE places (place) AS (
    SELECT 1
    UNION ALL
    SELECT place + 1 FROM places WHERE place + 2 < (SELECT max(length(display_name_folded)) FROM cloud_pcs)
)
INSERT INTO cloud_pc_trigrams
SELECT DISTINCT tenant_id, substr(display_name_folded, place, 3), id
FROM places JOIN cloud_pcs ON place + 2 <= length(display_name_folded);
