-- Numbers that the rows of one owner are given.
--
-- A row for each owner says which number was given last. The row is locked until the commit that takes a number, which holds with several writers, where
-- the highest number plus one does not.
CREATE TABLE counters (
    tenant_id BLOB NOT NULL,
    -- What is numbered.
    kind TEXT NOT NULL,
    -- A tenant, partner or Cloud PC.
    owner_id BLOB NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, kind, owner_id)
) WITHOUT ROWID, STRICT;

INSERT INTO counters SELECT tenant_id, 'auditEvent', tenant_id, max(id) FROM audit GROUP BY tenant_id;
INSERT INTO counters SELECT tenant_id, 'report', partner_id, max(id) FROM reports GROUP BY tenant_id, partner_id;
INSERT INTO counters SELECT tenant_id, 'healthEvent', cloud_pc_id, max(id) FROM health_events GROUP BY tenant_id, cloud_pc_id;

-- Words of the domain are the model's business: a kind of action, a state or a status that comes later is no change to the schema. Only the CHECKs go, so
-- the text of the tables is all there is to change; copying them would take minutes where they are large. SQLite documents this way under "Making Other
-- Kinds Of Table Schema Changes".
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(sql, ' CHECK (kind IN (
        ''reprovision'', ''resize'', ''restore'', ''undo'', ''rename'', ''reboot'', ''powerOn'', ''powerOff'', ''createSnapshot'', ''troubleshoot'', ''deployAgent''
    ))', '') WHERE type = 'table' AND name = 'actions';

UPDATE sqlite_schema SET sql = replace(sql, ' CHECK (state IN (
        ''pending'', ''running'', ''undoing'', ''done'', ''failed'', ''canceled'', ''notSupported'', ''stuck''
    ))', '') WHERE type = 'table' AND name IN ('actions', 'deployments');

UPDATE sqlite_schema SET sql = replace(replace(replace(sql,
    'Plain columns under a CHECK: SQLite does', 'Plain columns: SQLite does'),
    '(remote = (kind <> ''deployAgent''))', '(remote IN (0, 1))'),
    '(open = (state IN (''pending'', ''running'', ''undoing'', ''stuck'')))', '(open IN (0, 1))')
WHERE type = 'table' AND name = 'actions';

UPDATE sqlite_schema SET sql = replace(sql, ' CHECK (result IN (''success'', ''clientError'', ''failure'', ''timeout''))', '')
WHERE type = 'table' AND name = 'audit';

UPDATE sqlite_schema SET sql = replace(sql, ' CHECK (report_type IN (''configureAgent'', ''deployAgent''))', '')
WHERE type = 'table' AND name = 'reports';

UPDATE sqlite_schema SET sql = replace(sql, ' CHECK (snapshot_type IN (''automatic'', ''manual''))', '')
WHERE type = 'table' AND name = 'snapshots';

UPDATE sqlite_schema SET sql = replace(replace(replace(replace(replace(replace(replace(sql,
    ' CHECK (product IN (''enterprise'', ''business'', ''frontline''))', ''),
    ' CHECK (status IN (
        ''notProvisioned'', ''provisioning'', ''provisioned'', ''provisionedWithWarnings'', ''inGracePeriod'', ''deprovisioning'', ''failed'', ''resizing'',
        ''restoring''
    ))', ''),
    ' CHECK (status_before IN (
    ''notProvisioned'', ''provisioning'', ''provisioned'', ''provisionedWithWarnings'', ''inGracePeriod'', ''deprovisioning'', ''failed'', ''resizing'',
    ''restoring''
))', ''),
    ' CHECK (power_intended IN (''running'', ''poweredOff'', ''unknown''))', ''),
    ' CHECK (power_observed IN (''running'', ''poweredOff'', ''unknown''))', ''),
    ' CHECK (os_version IN (''windows10'', ''windows11''))', ''),
    ' CHECK (user_account_type IN (''standardUser'', ''administrator''))', '')
WHERE type = 'table' AND name = 'cloud_pcs';

PRAGMA writable_schema = RESET;
