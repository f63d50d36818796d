PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE tenants (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL
) WITHOUT ROWID, STRICT;
INSERT INTO tenants VALUES(X'c0de000000004000800000000000c0de','Contoso');
CREATE TABLE apps (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    secret_hash BLOB,
    permissions TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;
INSERT INTO apps VALUES(X'c0de000000004000800000000000c0de',X'8177678fc9fc4eaaa916d66992f2ff2f','Administrator',X'1d5e0c6463f3dce3fb774c4471d1c5c00fdf1914600b523d9603c21e4fba9830','["CloudPC.Read.All","CloudPC.ReadWrite.All","Cloudpc.Administer.All","Cloudpc.Simulate.All","DeviceManagementManagedDevices.Read.All","DeviceManagementManagedDevices.ReadWrite.All"]',1);
CREATE TABLE users (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    user_principal_name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    password_hash TEXT,
    roles TEXT NOT NULL,
    permissions TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;
INSERT INTO users VALUES(X'c0de000000004000800000000000c0de',X'103b1a0a69ba44bfbe85137e21832e54','alan@contoso.test','alan',NULL,'[]','[]',1);
INSERT INTO users VALUES(X'c0de000000004000800000000000c0de',X'cc26a612f84f44efb364beb5ca57d9a4','ada@contoso.test','ada',NULL,'[]','[]',1);
INSERT INTO users VALUES(X'c0de000000004000800000000000c0de',X'edf3e2c256b44fcd8851322377223e75','grace@contoso.test','grace',NULL,'[]','[]',1);
CREATE TABLE service_plans (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    plan TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;
INSERT INTO service_plans VALUES(X'c0de000000004000800000000000c0de',X'34669dbfb7674f60a85d500756debb45','{"id":"34669dbf-b767-4f60-a85d-500756debb45","display_name":"medium","vcpu_count":4,"ram_gib":16,"storage_gib":256,"product":"business","gpu":false}');
INSERT INTO service_plans VALUES(X'c0de000000004000800000000000c0de',X'5a35665bdd924826becaaf6500752877','{"id":"5a35665b-dd92-4826-beca-af6500752877","display_name":"small","vcpu_count":2,"ram_gib":8,"storage_gib":128,"product":"business","gpu":false}');
INSERT INTO service_plans VALUES(X'c0de000000004000800000000000c0de',X'b24cb06ac22b43f48b2922367b3fb4bd','{"id":"b24cb06a-c22b-43f4-8b29-22367b3fb4bd","display_name":"shared","vcpu_count":2,"ram_gib":8,"storage_gib":128,"product":"frontline","gpu":false}');
INSERT INTO service_plans VALUES(X'c0de000000004000800000000000c0de',X'c3c34a6c623644d382a0a90b9ee9d33d','{"id":"c3c34a6c-6236-44d3-82a0-a90b9ee9d33d","display_name":"large","vcpu_count":4,"ram_gib":16,"storage_gib":256,"product":"enterprise","gpu":false}');
CREATE TABLE gallery_images (
    tenant_id BLOB NOT NULL,
    id TEXT NOT NULL,
    image TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;
INSERT INTO gallery_images VALUES(X'c0de000000004000800000000000c0de','a_b_eleven','{"id":"a_b_eleven","display_name":"Eleven","size_gib":64,"os_version":"windows11"}');
INSERT INTO gallery_images VALUES(X'c0de000000004000800000000000c0de','a_b_ten','{"id":"a_b_ten","display_name":"Ten","size_gib":64,"os_version":"windows10"}');
CREATE TABLE cloud_pcs (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL UNIQUE,
    managed_device_id BLOB NOT NULL,
    aad_device_id BLOB NOT NULL,
    display_name TEXT NOT NULL,
    managed_device_name TEXT NOT NULL,
    user_id BLOB NOT NULL,
    user_principal_name TEXT NOT NULL,
    service_plan_id BLOB NOT NULL,
    image_id TEXT NOT NULL,
    provisioning_policy_id TEXT NOT NULL,
    provisioning_policy_name TEXT NOT NULL,
    region TEXT NOT NULL,
    product TEXT NOT NULL CHECK (product IN ('enterprise', 'business', 'frontline')),
    status TEXT NOT NULL CHECK (status IN (
        'notProvisioned', 'provisioning', 'provisioned', 'provisionedWithWarnings', 'inGracePeriod', 'deprovisioning', 'failed', 'resizing',
        'restoring'
    )),
    status_detail TEXT,
    power_intended TEXT NOT NULL CHECK (power_intended IN ('running', 'poweredOff', 'unknown')),
    power_observed TEXT NOT NULL CHECK (power_observed IN ('running', 'poweredOff', 'unknown')),
    os_version TEXT NOT NULL CHECK (os_version IN ('windows10', 'windows11')),
    user_account_type TEXT NOT NULL CHECK (user_account_type IN ('standardUser', 'administrator')),
    provisioned_at INTEGER,
    grace_ends_at INTEGER,
    modified_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL, status_before TEXT CHECK (status_before IN (
    'notProvisioned', 'provisioning', 'provisioned', 'provisionedWithWarnings', 'inGracePeriod', 'deprovisioning', 'failed', 'resizing',
    'restoring'
)),
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'03b01d8c5bad42619a73fa0b2bcaa8ab',X'9e5d200089e1455dabf08d1098c2f0df',X'73fcd370a38b46c185154c681e6f2771','shift-01','CPC-alan-TZTBF',X'103b1a0a69ba44bfbe85137e21832e54','alan@contoso.test',X'b24cb06ac22b43f48b2922367b3fb4bd','a_b_eleven','9095d80a-a81d-4a60-8026-299c51b7664c','everyone','westeurope','frontline','provisioned',NULL,'running','running','windows11','standardUser',1795890628001008,NULL,1795890628001008,1795890628001008,NULL);
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'123f3b8bbf2348dd9b6b72e7f66884b6',X'bd9cc3b70bbe4b5e856079f97655b331',X'06fa0ac6966a4d8891ea52f24bffd654','desk-6','CPC-grace-XKVWD',X'edf3e2c256b44fcd8851322377223e75','grace@contoso.test',X'c3c34a6c623644d382a0a90b9ee9d33d','a_b_eleven','c05855f0-e7af-4581-9a81-1b0431c79e8c','Everyone','westus3','enterprise','provisioned',NULL,'running','running','windows11','standardUser',1795890628001008,NULL,1795890628001008,1795890628001008,NULL);
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'2651a6fc8515460b987c38654bd8fb45',X'e4db7ac8c51d406aa7ebbb98c1970adb',X'5e1daff394d84368acfcf58051b3281d','broken-01','CPC-alan-QG7EL',X'103b1a0a69ba44bfbe85137e21832e54','alan@contoso.test',X'5a35665bdd924826becaaf6500752877','a_b_eleven','c05855f0-e7af-4581-9a81-1b0431c79e8c','Everyone','westeurope','business','failed',NULL,'running','running','windows11','standardUser',NULL,NULL,1795890628001008,1795890628001008,NULL);
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'49efb40e779c4ffeba127163a87aad3c',X'443fd6116d0249479eb8c03e2d50fbe4',X'dc17ede3c8054926bdc146d310065b1f','desk-7','CPC-ada-9DBTQ',X'cc26a612f84f44efb364beb5ca57d9a4','ada@contoso.test',X'5a35665bdd924826becaaf6500752877','a_b_eleven','c05855f0-e7af-4581-9a81-1b0431c79e8c','Everyone','westus3','business','provisioned',NULL,'running','running','windows11','standardUser',1795890628001008,NULL,1795890628001008,1795890628001008,NULL);
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'55c413b287a347858d9c45ece8a880ee',X'3377c26dd47646be92712e6586e057be',X'0582faec04d145b4a5015753a476642b','engine-01','CPC-alan-Z6UVR',X'103b1a0a69ba44bfbe85137e21832e54','alan@contoso.test',X'c3c34a6c623644d382a0a90b9ee9d33d','a_b_ten','53a05fcd-5fa0-49d9-8ad2-897b4c3ed374','Engineers','westeurope','enterprise','provisioned',NULL,'running','running','windows10','standardUser',1795890628001008,NULL,1795890628001008,1795890628001008,NULL);
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'6f225da0de214557b75fba9e5d6648c4',X'bb48161467ca45c394a610a3e450e944',X'63cde2f9ce0b4e12bd596a9b5523ab36','loose-01','CPC-ada-26WNY',X'cc26a612f84f44efb364beb5ca57d9a4','ada@contoso.test',X'5a35665bdd924826becaaf6500752877','a_b_eleven','','','westeurope','business','provisioned',NULL,'running','running','windows11','standardUser',1795890628001008,NULL,1795890628001008,1795890628001008,NULL);
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'91d869854edd45a0a496c24cd939f58b',X'f128c919d31a4cbd9eb8cd428edb3962',X'e6e5112db0b5439aada7c1bbdab37af4','desk-8','CPC-grace-QNFVG',X'edf3e2c256b44fcd8851322377223e75','grace@contoso.test',X'5a35665bdd924826becaaf6500752877','a_b_eleven','c05855f0-e7af-4581-9a81-1b0431c79e8c','Everyone','westus3','business','provisioned',NULL,'running','running','windows11','standardUser',1795890628001008,NULL,1795890628001008,1795890628001008,NULL);
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'9e2b9eaf450d49b29fc959b7d3bbea8f',X'515d01d081f04bde82131af6dc0e09c0',X'd02ee05eebc249668999e720dc8282f3','desk-2','CPC-grace-A7R4W',X'edf3e2c256b44fcd8851322377223e75','grace@contoso.test',X'5a35665bdd924826becaaf6500752877','a_b_eleven','c05855f0-e7af-4581-9a81-1b0431c79e8c','Everyone','westus3','business','provisioned',NULL,'running','running','windows11','standardUser',1795890628001008,NULL,1795890628001008,1795890628001008,NULL);
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'a95f1ddccd994565a2c77676b06872cf',X'f026e0542f9b4d5c8f1b2ea6f39121c3',X'9bd1d5d57454420a957cf12006a9ea97','desk-1','CPC-ada-HJZ3N',X'cc26a612f84f44efb364beb5ca57d9a4','ada@contoso.test',X'5a35665bdd924826becaaf6500752877','a_b_eleven','c05855f0-e7af-4581-9a81-1b0431c79e8c','Everyone','westus3','business','provisioning',NULL,'running','poweredOff','windows11','standardUser',1795890649066695,NULL,1795890653058656,1795890628001008,'provisioned');
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'b99eb6dcdb594bc593173b48725e4f20',X'97cb45786e6d41279bed8f46affb7883',X'4ee7561326b348a7af7bbc9d3a66719e','desk-4','CPC-grace-KYY37',X'edf3e2c256b44fcd8851322377223e75','grace@contoso.test',X'5a35665bdd924826becaaf6500752877','a_b_eleven','c05855f0-e7af-4581-9a81-1b0431c79e8c','Everyone','westus3','business','provisioned',NULL,'running','running','windows11','standardUser',1795890628001008,NULL,1795890628001008,1795890628001008,NULL);
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'c70ecdebda5a4093be3dde011291f7ec',X'de84a787d4ad4a59afbfd2352e812dce',X'6934b86ea64641418f405bcd51079f11','leaver-01','CPC-grace-NQK3T',X'edf3e2c256b44fcd8851322377223e75','grace@contoso.test',X'c3c34a6c623644d382a0a90b9ee9d33d','a_b_eleven','c05855f0-e7af-4581-9a81-1b0431c79e8c','Everyone','westeurope','enterprise','inGracePeriod',NULL,'running','running','windows11','standardUser',1795890628001008,1796495428001008,1795890628001008,1795890628001008,NULL);
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'd3cef0b60a9943ea8ba60c83867eb872',X'ef11a583b6ca4994bec6ccd018f9e0ca',X'f7f667c73c9a4cf1921658039329bf59','desk-3','CPC-ada-CSS4L',X'cc26a612f84f44efb364beb5ca57d9a4','ada@contoso.test',X'c3c34a6c623644d382a0a90b9ee9d33d','a_b_eleven','c05855f0-e7af-4581-9a81-1b0431c79e8c','Everyone','westus3','enterprise','provisioned',NULL,'running','running','windows11','standardUser',1795890628001008,NULL,1795890628001008,1795890628001008,NULL);
INSERT INTO cloud_pcs VALUES(X'c0de000000004000800000000000c0de',X'e36c171f30334661a148c0a4e070aaef',X'8d66641563e0409b9e8bf422dae54cde',X'bdddbbe627e64b0a8f3c9b9cd73aa321','desk-5','CPC-ada-2BYEJ',X'cc26a612f84f44efb364beb5ca57d9a4','ada@contoso.test',X'5a35665bdd924826becaaf6500752877','a_b_eleven','c05855f0-e7af-4581-9a81-1b0431c79e8c','Everyone','westus3','business','provisioned',NULL,'running','running','windows11','standardUser',1795890628001008,NULL,1795890628001008,1795890628001008,NULL);
CREATE TABLE snapshots (
    tenant_id BLOB NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    id TEXT NOT NULL,
    snapshot_type TEXT NOT NULL CHECK (snapshot_type IN ('automatic', 'manual')),
    created_at INTEGER NOT NULL,
    last_restored_at INTEGER,
    PRIMARY KEY (tenant_id, cloud_pc_id, id)
) WITHOUT ROWID, STRICT;
INSERT INTO snapshots VALUES(X'c0de000000004000800000000000c0de',X'9e2b9eaf450d49b29fc959b7d3bbea8f','CPC_9e2b9eaf-450d-49b2-9fc9-59b7d3bbea8f_374ce42d-d57e-4e47-8d52-b95689823eb0','manual',1795890649468369,NULL);
CREATE TABLE lines (
    id INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;
INSERT INTO lines VALUES(1,X'c0de000000004000800000000000c0de','a95f1ddc-cd99-4565-a2c7-7676b06872cf');
INSERT INTO lines VALUES(2,X'c0de000000004000800000000000c0de','9e2b9eaf-450d-49b2-9fc9-59b7d3bbea8f');
INSERT INTO lines VALUES(3,X'c0de000000004000800000000000c0de','d3cef0b6-0a99-43ea-8ba6-0c83867eb872');
INSERT INTO lines VALUES(4,X'c0de000000004000800000000000c0de','b99eb6dc-db59-4bc5-9317-3b48725e4f20');
INSERT INTO lines VALUES(5,X'c0de000000004000800000000000c0de','e36c171f-3033-4661-a148-c0a4e070aaef');
INSERT INTO lines VALUES(6,X'c0de000000004000800000000000c0de','55c413b2-87a3-4785-8d9c-45ece8a880ee');
CREATE TABLE actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BLOB NOT NULL,
    line_id INTEGER NOT NULL REFERENCES lines (id),
    target TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN (
        'reprovision', 'resize', 'restore', 'undo', 'rename', 'reboot', 'powerOn', 'powerOff', 'createSnapshot', 'troubleshoot', 'deployAgent'
    )),
    params TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    deadline_at INTEGER NOT NULL,
    idempotency_key TEXT,
    state TEXT NOT NULL CHECK (state IN (
        'pending', 'running', 'undoing', 'done', 'failed', 'canceled', 'notSupported', 'stuck'
    )),
    epoch INTEGER NOT NULL,
    started_at INTEGER,
    updated_at INTEGER NOT NULL,
    cancel_requested_at INTEGER,
    outcome TEXT,
    steps TEXT NOT NULL,
    events INTEGER NOT NULL,
    -- When a worker may take it: when it is due, or when its lease ends. None while it is stuck and after its end.
    claim_at INTEGER,
    leased INTEGER NOT NULL CHECK (leased IN (0, 1)),
    at_front INTEGER NOT NULL CHECK (at_front IN (0, 1)),
    -- What Graph calls a remote action, and what has not ended. Plain columns under a CHECK: SQLite does not read generated ones from an index.
    remote INTEGER NOT NULL CHECK (remote = (kind <> 'deployAgent')),
    open INTEGER NOT NULL CHECK (open = (state IN ('pending', 'running', 'undoing', 'stuck'))),
    CHECK (open = 1 OR (at_front = 0 AND claim_at IS NULL)),
    CHECK (leased = 0 OR (at_front = 1 AND claim_at IS NOT NULL))
) STRICT;
INSERT INTO actions VALUES(1,X'c0de000000004000800000000000c0de',1,'a95f1ddc-cd99-4565-a2c7-7676b06872cf','reprovision','{"kind":"reprovision","osVersion":null,"userAccountType":null,"imageId":"a_b_eleven"}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890628521239,1795912228521239,NULL,'done',1,1795890628579304,1795890649066695,NULL,'["done",null]','[{"name":"stop","state":"succeeded","attempts":1,"startedAt":1795890628579304,"endedAt":1795890629162880,"dueAt":null,"message":null},{"name":"setDiskAside","state":"succeeded","attempts":1,"startedAt":1795890629162880,"endedAt":1795890629262117,"dueAt":null,"message":null},{"name":"makeDisk","state":"succeeded","attempts":1,"startedAt":1795890629262117,"endedAt":1795890631809426,"dueAt":null,"message":null},{"name":"start","state":"succeeded","attempts":1,"startedAt":1795890631809426,"endedAt":1795890631809426,"dueAt":null,"message":null},{"name":"waitForGuest","state":"succeeded","attempts":1,"startedAt":1795890631809426,"endedAt":1795890632779901,"dueAt":null,"message":null},{"name":"enrol","state":"succeeded","attempts":1,"startedAt":1795890632779901,"endedAt":1795890649066695,"dueAt":null,"message":null},{"name":"deployAgents","state":"succeeded","attempts":1,"startedAt":1795890649066695,"endedAt":1795890649066695,"dueAt":null,"message":null}]',17,NULL,0,0,1,0);
INSERT INTO actions VALUES(2,X'c0de000000004000800000000000c0de',2,'9e2b9eaf-450d-49b2-9fc9-59b7d3bbea8f','createSnapshot','{"kind":"createSnapshot","snapshotId":"CPC_9e2b9eaf-450d-49b2-9fc9-59b7d3bbea8f_374ce42d-d57e-4e47-8d52-b95689823eb0"}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890649358925,1795897849358925,NULL,'done',1,1795890649374833,1795890649468369,NULL,'["done",null]','[{"name":"checkSupport","state":"succeeded","attempts":1,"startedAt":1795890649374833,"endedAt":1795890649389086,"dueAt":null,"message":null},{"name":"takeSnapshot","state":"succeeded","attempts":1,"startedAt":1795890649389086,"endedAt":1795890649468369,"dueAt":null,"message":null}]',7,NULL,0,0,1,0);
INSERT INTO actions VALUES(3,X'c0de000000004000800000000000c0de',3,'d3cef0b6-0a99-43ea-8ba6-0c83867eb872','deployAgent','{"kind":"deployAgent","partnerId":"6de4479b-424e-4727-a0ac-648cd664fe5f","activityId":"cccecc86-dc55-43f1-bfb1-671650b5c772","agent":{"url":"https://agents.fabrikam.test/agent.msi","sha256":"5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713","install_parameters":[],"auto_deploy":false}}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890651107213,1795933851107213,NULL,'done',1,1795890651152095,1795890652288078,NULL,'["done",null]','[{"name":"lookUp","state":"succeeded","attempts":1,"startedAt":1795890651152095,"endedAt":1795890651180897,"dueAt":null,"message":null},{"name":"checkAvailable","state":"succeeded","attempts":1,"startedAt":1795890651180897,"endedAt":1795890651201124,"dueAt":null,"message":null},{"name":"waitForGuest","state":"succeeded","attempts":1,"startedAt":1795890651201124,"endedAt":1795890651228807,"dueAt":null,"message":null},{"name":"checkDiskSpace","state":"succeeded","attempts":1,"startedAt":1795890651228807,"endedAt":1795890651249742,"dueAt":null,"message":null},{"name":"checkNetwork","state":"succeeded","attempts":1,"startedAt":1795890651249742,"endedAt":1795890651284302,"dueAt":null,"message":null},{"name":"fetchAgent","state":"succeeded","attempts":1,"startedAt":1795890651284302,"endedAt":1795890651726128,"dueAt":null,"message":"1000 bytes"},{"name":"checkFormat","state":"succeeded","attempts":1,"startedAt":1795890651726128,"endedAt":1795890651726128,"dueAt":null,"message":null},{"name":"checkChecksum","state":"succeeded","attempts":1,"startedAt":1795890651726128,"endedAt":1795890651726128,"dueAt":null,"message":null},{"name":"runInstaller","state":"succeeded","attempts":1,"startedAt":1795890651726128,"endedAt":1795890652288078,"dueAt":null,"message":"exit code 0"},{"name":"cleanUp","state":"succeeded","attempts":1,"startedAt":1795890652288078,"endedAt":1795890652288078,"dueAt":null,"message":null},{"name":"detectAgent","state":"succeeded","attempts":1,"startedAt":1795890652288078,"endedAt":1795890652288078,"dueAt":null,"message":null}]',25,NULL,0,0,0,0);
INSERT INTO actions VALUES(4,X'c0de000000004000800000000000c0de',1,'a95f1ddc-cd99-4565-a2c7-7676b06872cf','reprovision','{"kind":"reprovision","osVersion":null,"userAccountType":null,"imageId":"a_b_eleven"}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890652310345,1795912252310345,NULL,'running',1,1795890652310345,1795890653159580,NULL,NULL,'[{"name":"stop","state":"succeeded","attempts":1,"startedAt":1795890652310345,"endedAt":1795890653058656,"dueAt":null,"message":null},{"name":"setDiskAside","state":"succeeded","attempts":1,"startedAt":1795890653058656,"endedAt":1795890653159580,"dueAt":null,"message":null},{"name":"makeDisk","state":"running","attempts":1,"startedAt":1795890653159580,"endedAt":null,"dueAt":null,"message":null}]',7,1795890712310345,1,1,1,1);
INSERT INTO actions VALUES(5,X'c0de000000004000800000000000c0de',4,'b99eb6dc-db59-4bc5-9317-3b48725e4f20','reboot','{"kind":"reboot"}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890652310345,1795897852310345,NULL,'running',1,1795890652310345,1795890652798670,NULL,NULL,'[{"name":"checkPower","state":"succeeded","attempts":1,"startedAt":1795890652310345,"endedAt":1795890652310345,"dueAt":null,"message":null},{"name":"restart","state":"succeeded","attempts":1,"startedAt":1795890652310345,"endedAt":1795890652798670,"dueAt":null,"message":null},{"name":"waitForGuest","state":"running","attempts":1,"startedAt":1795890652798670,"endedAt":null,"dueAt":null,"message":null}]',7,1795890712310345,1,1,1,1);
INSERT INTO actions VALUES(6,X'c0de000000004000800000000000c0de',1,'a95f1ddc-cd99-4565-a2c7-7676b06872cf','deployAgent','{"kind":"deployAgent","partnerId":"6de4479b-424e-4727-a0ac-648cd664fe5f","activityId":"f4a1df8d-6560-41e7-a36f-dabf569d20e7","agent":{"url":"https://agents.fabrikam.test/agent.msi","sha256":"5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713","install_parameters":[],"auto_deploy":false}}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,1795933853510345,NULL,'pending',0,NULL,1795890653510345,NULL,NULL,'[]',1,1795890653510345,0,0,0,1);
INSERT INTO actions VALUES(7,X'c0de000000004000800000000000c0de',2,'9e2b9eaf-450d-49b2-9fc9-59b7d3bbea8f','deployAgent','{"kind":"deployAgent","partnerId":"6de4479b-424e-4727-a0ac-648cd664fe5f","activityId":"f4a1df8d-6560-41e7-a36f-dabf569d20e7","agent":{"url":"https://agents.fabrikam.test/agent.msi","sha256":"5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713","install_parameters":[],"auto_deploy":false}}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,1795933853510345,NULL,'running',1,1795890653510345,1795890653510345,NULL,NULL,'[{"name":"lookUp","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkAvailable","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"waitForGuest","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkDiskSpace","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkNetwork","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"fetchAgent","state":"running","attempts":1,"startedAt":1795890653510345,"endedAt":null,"dueAt":null,"message":null}]',13,1795890713510345,1,1,0,1);
INSERT INTO actions VALUES(8,X'c0de000000004000800000000000c0de',3,'d3cef0b6-0a99-43ea-8ba6-0c83867eb872','deployAgent','{"kind":"deployAgent","partnerId":"6de4479b-424e-4727-a0ac-648cd664fe5f","activityId":"f4a1df8d-6560-41e7-a36f-dabf569d20e7","agent":{"url":"https://agents.fabrikam.test/agent.msi","sha256":"5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713","install_parameters":[],"auto_deploy":false}}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,1795933853510345,NULL,'running',1,1795890653510345,1795890653510345,NULL,NULL,'[{"name":"lookUp","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkAvailable","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"waitForGuest","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkDiskSpace","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkNetwork","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"fetchAgent","state":"running","attempts":1,"startedAt":1795890653510345,"endedAt":null,"dueAt":null,"message":null}]',13,1795890713510345,1,1,0,1);
INSERT INTO actions VALUES(9,X'c0de000000004000800000000000c0de',4,'b99eb6dc-db59-4bc5-9317-3b48725e4f20','deployAgent','{"kind":"deployAgent","partnerId":"6de4479b-424e-4727-a0ac-648cd664fe5f","activityId":"f4a1df8d-6560-41e7-a36f-dabf569d20e7","agent":{"url":"https://agents.fabrikam.test/agent.msi","sha256":"5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713","install_parameters":[],"auto_deploy":false}}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,1795933853510345,NULL,'pending',0,NULL,1795890653510345,NULL,NULL,'[]',1,1795890653510345,0,0,0,1);
INSERT INTO actions VALUES(10,X'c0de000000004000800000000000c0de',5,'e36c171f-3033-4661-a148-c0a4e070aaef','deployAgent','{"kind":"deployAgent","partnerId":"6de4479b-424e-4727-a0ac-648cd664fe5f","activityId":"f4a1df8d-6560-41e7-a36f-dabf569d20e7","agent":{"url":"https://agents.fabrikam.test/agent.msi","sha256":"5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713","install_parameters":[],"auto_deploy":false}}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,1795933853510345,NULL,'running',1,1795890653510345,1795890653510345,NULL,NULL,'[{"name":"lookUp","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkAvailable","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"waitForGuest","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkDiskSpace","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkNetwork","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"fetchAgent","state":"running","attempts":1,"startedAt":1795890653510345,"endedAt":null,"dueAt":null,"message":null}]',13,1795890713510345,1,1,0,1);
INSERT INTO actions VALUES(11,X'c0de000000004000800000000000c0de',6,'55c413b2-87a3-4785-8d9c-45ece8a880ee','deployAgent','{"kind":"deployAgent","partnerId":"6de4479b-424e-4727-a0ac-648cd664fe5f","activityId":"f4a1df8d-6560-41e7-a36f-dabf569d20e7","agent":{"url":"https://agents.fabrikam.test/agent.msi","sha256":"5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713","install_parameters":[],"auto_deploy":false}}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,1795933853510345,NULL,'running',1,1795890653510345,1795890653510345,NULL,NULL,'[{"name":"lookUp","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkAvailable","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"waitForGuest","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkDiskSpace","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"checkNetwork","state":"succeeded","attempts":1,"startedAt":1795890653510345,"endedAt":1795890653510345,"dueAt":null,"message":null},{"name":"fetchAgent","state":"running","attempts":1,"startedAt":1795890653510345,"endedAt":null,"dueAt":null,"message":null}]',13,1795890713510345,1,1,0,1);
INSERT INTO actions VALUES(12,X'c0de000000004000800000000000c0de',5,'e36c171f-3033-4661-a148-c0a4e070aaef','resize','{"kind":"resize","targetServicePlanId":"34669dbf-b767-4f60-a85d-500756debb45"}','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,1795901453510345,NULL,'pending',0,NULL,1795890653510345,NULL,NULL,'[]',1,1795890653510345,0,0,1,1);
CREATE TABLE action_events (
    action_id INTEGER NOT NULL REFERENCES actions (id),
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (action_id, number)
) WITHOUT ROWID, STRICT;
INSERT INTO action_events VALUES(1,1,1795890628521239,0,'{"event":"accepted"}');
INSERT INTO action_events VALUES(1,2,1795890628579304,1,'{"event":"claimed"}');
INSERT INTO action_events VALUES(1,3,1795890628579304,1,'{"event":"stepStarted","step":"stop"}');
INSERT INTO action_events VALUES(1,4,1795890629162880,1,'{"event":"stepSucceeded","step":"stop","message":null}');
INSERT INTO action_events VALUES(1,5,1795890629162880,1,'{"event":"stepStarted","step":"setDiskAside"}');
INSERT INTO action_events VALUES(1,6,1795890629262117,1,'{"event":"stepSucceeded","step":"setDiskAside","message":null}');
INSERT INTO action_events VALUES(1,7,1795890629262117,1,'{"event":"stepStarted","step":"makeDisk"}');
INSERT INTO action_events VALUES(1,8,1795890631809426,1,'{"event":"stepSucceeded","step":"makeDisk","message":null}');
INSERT INTO action_events VALUES(1,9,1795890631809426,1,'{"event":"stepStarted","step":"start"}');
INSERT INTO action_events VALUES(1,10,1795890631809426,1,'{"event":"stepSucceeded","step":"start","message":null}');
INSERT INTO action_events VALUES(1,11,1795890631809426,1,'{"event":"stepStarted","step":"waitForGuest"}');
INSERT INTO action_events VALUES(1,12,1795890632779901,1,'{"event":"stepSucceeded","step":"waitForGuest","message":null}');
INSERT INTO action_events VALUES(1,13,1795890632779901,1,'{"event":"stepStarted","step":"enrol"}');
INSERT INTO action_events VALUES(1,14,1795890649066695,1,'{"event":"stepSucceeded","step":"enrol","message":null}');
INSERT INTO action_events VALUES(1,15,1795890649066695,1,'{"event":"stepStarted","step":"deployAgents"}');
INSERT INTO action_events VALUES(1,16,1795890649066695,1,'{"event":"stepSucceeded","step":"deployAgents","message":null}');
INSERT INTO action_events VALUES(1,17,1795890649066695,1,'{"event":"finished","outcome":"done","failure":null}');
INSERT INTO action_events VALUES(2,1,1795890649358925,0,'{"event":"accepted"}');
INSERT INTO action_events VALUES(2,2,1795890649374833,1,'{"event":"claimed"}');
INSERT INTO action_events VALUES(2,3,1795890649374833,1,'{"event":"stepStarted","step":"checkSupport"}');
INSERT INTO action_events VALUES(2,4,1795890649389086,1,'{"event":"stepSucceeded","step":"checkSupport","message":null}');
INSERT INTO action_events VALUES(2,5,1795890649389086,1,'{"event":"stepStarted","step":"takeSnapshot"}');
INSERT INTO action_events VALUES(2,6,1795890649468369,1,'{"event":"stepSucceeded","step":"takeSnapshot","message":null}');
INSERT INTO action_events VALUES(2,7,1795890649468369,1,'{"event":"finished","outcome":"done","failure":null}');
INSERT INTO action_events VALUES(3,1,1795890651107213,0,'{"event":"accepted"}');
INSERT INTO action_events VALUES(3,2,1795890651152095,1,'{"event":"claimed"}');
INSERT INTO action_events VALUES(3,3,1795890651152095,1,'{"event":"stepStarted","step":"lookUp"}');
INSERT INTO action_events VALUES(3,4,1795890651180897,1,'{"event":"stepSucceeded","step":"lookUp","message":null}');
INSERT INTO action_events VALUES(3,5,1795890651180897,1,'{"event":"stepStarted","step":"checkAvailable"}');
INSERT INTO action_events VALUES(3,6,1795890651201124,1,'{"event":"stepSucceeded","step":"checkAvailable","message":null}');
INSERT INTO action_events VALUES(3,7,1795890651201124,1,'{"event":"stepStarted","step":"waitForGuest"}');
INSERT INTO action_events VALUES(3,8,1795890651228807,1,'{"event":"stepSucceeded","step":"waitForGuest","message":null}');
INSERT INTO action_events VALUES(3,9,1795890651228807,1,'{"event":"stepStarted","step":"checkDiskSpace"}');
INSERT INTO action_events VALUES(3,10,1795890651249742,1,'{"event":"stepSucceeded","step":"checkDiskSpace","message":null}');
INSERT INTO action_events VALUES(3,11,1795890651249742,1,'{"event":"stepStarted","step":"checkNetwork"}');
INSERT INTO action_events VALUES(3,12,1795890651284302,1,'{"event":"stepSucceeded","step":"checkNetwork","message":null}');
INSERT INTO action_events VALUES(3,13,1795890651284302,1,'{"event":"stepStarted","step":"fetchAgent"}');
INSERT INTO action_events VALUES(3,14,1795890651726128,1,'{"event":"stepSucceeded","step":"fetchAgent","message":"1000 bytes"}');
INSERT INTO action_events VALUES(3,15,1795890651726128,1,'{"event":"stepStarted","step":"checkFormat"}');
INSERT INTO action_events VALUES(3,16,1795890651726128,1,'{"event":"stepSucceeded","step":"checkFormat","message":null}');
INSERT INTO action_events VALUES(3,17,1795890651726128,1,'{"event":"stepStarted","step":"checkChecksum"}');
INSERT INTO action_events VALUES(3,18,1795890651726128,1,'{"event":"stepSucceeded","step":"checkChecksum","message":null}');
INSERT INTO action_events VALUES(3,19,1795890651726128,1,'{"event":"stepStarted","step":"runInstaller"}');
INSERT INTO action_events VALUES(3,20,1795890652288078,1,'{"event":"stepSucceeded","step":"runInstaller","message":"exit code 0"}');
INSERT INTO action_events VALUES(3,21,1795890652288078,1,'{"event":"stepStarted","step":"cleanUp"}');
INSERT INTO action_events VALUES(3,22,1795890652288078,1,'{"event":"stepSucceeded","step":"cleanUp","message":null}');
INSERT INTO action_events VALUES(3,23,1795890652288078,1,'{"event":"stepStarted","step":"detectAgent"}');
INSERT INTO action_events VALUES(3,24,1795890652288078,1,'{"event":"stepSucceeded","step":"detectAgent","message":null}');
INSERT INTO action_events VALUES(3,25,1795890652288078,1,'{"event":"finished","outcome":"done","failure":null}');
INSERT INTO action_events VALUES(4,1,1795890652310345,0,'{"event":"accepted"}');
INSERT INTO action_events VALUES(4,2,1795890652310345,1,'{"event":"claimed"}');
INSERT INTO action_events VALUES(4,3,1795890652310345,1,'{"event":"stepStarted","step":"stop"}');
INSERT INTO action_events VALUES(4,4,1795890653058656,1,'{"event":"stepSucceeded","step":"stop","message":null}');
INSERT INTO action_events VALUES(4,5,1795890653058656,1,'{"event":"stepStarted","step":"setDiskAside"}');
INSERT INTO action_events VALUES(4,6,1795890653159580,1,'{"event":"stepSucceeded","step":"setDiskAside","message":null}');
INSERT INTO action_events VALUES(4,7,1795890653159580,1,'{"event":"stepStarted","step":"makeDisk"}');
INSERT INTO action_events VALUES(5,1,1795890652310345,0,'{"event":"accepted"}');
INSERT INTO action_events VALUES(5,2,1795890652310345,1,'{"event":"claimed"}');
INSERT INTO action_events VALUES(5,3,1795890652310345,1,'{"event":"stepStarted","step":"checkPower"}');
INSERT INTO action_events VALUES(5,4,1795890652310345,1,'{"event":"stepSucceeded","step":"checkPower","message":null}');
INSERT INTO action_events VALUES(5,5,1795890652310345,1,'{"event":"stepStarted","step":"restart"}');
INSERT INTO action_events VALUES(5,6,1795890652798670,1,'{"event":"stepSucceeded","step":"restart","message":null}');
INSERT INTO action_events VALUES(5,7,1795890652798670,1,'{"event":"stepStarted","step":"waitForGuest"}');
INSERT INTO action_events VALUES(6,1,1795890653510345,0,'{"event":"accepted"}');
INSERT INTO action_events VALUES(7,1,1795890653510345,0,'{"event":"accepted"}');
INSERT INTO action_events VALUES(7,2,1795890653510345,1,'{"event":"claimed"}');
INSERT INTO action_events VALUES(7,3,1795890653510345,1,'{"event":"stepStarted","step":"lookUp"}');
INSERT INTO action_events VALUES(7,4,1795890653510345,1,'{"event":"stepSucceeded","step":"lookUp","message":null}');
INSERT INTO action_events VALUES(7,5,1795890653510345,1,'{"event":"stepStarted","step":"checkAvailable"}');
INSERT INTO action_events VALUES(7,6,1795890653510345,1,'{"event":"stepSucceeded","step":"checkAvailable","message":null}');
INSERT INTO action_events VALUES(7,7,1795890653510345,1,'{"event":"stepStarted","step":"waitForGuest"}');
INSERT INTO action_events VALUES(7,8,1795890653510345,1,'{"event":"stepSucceeded","step":"waitForGuest","message":null}');
INSERT INTO action_events VALUES(7,9,1795890653510345,1,'{"event":"stepStarted","step":"checkDiskSpace"}');
INSERT INTO action_events VALUES(7,10,1795890653510345,1,'{"event":"stepSucceeded","step":"checkDiskSpace","message":null}');
INSERT INTO action_events VALUES(7,11,1795890653510345,1,'{"event":"stepStarted","step":"checkNetwork"}');
INSERT INTO action_events VALUES(7,12,1795890653510345,1,'{"event":"stepSucceeded","step":"checkNetwork","message":null}');
INSERT INTO action_events VALUES(7,13,1795890653510345,1,'{"event":"stepStarted","step":"fetchAgent"}');
INSERT INTO action_events VALUES(8,1,1795890653510345,0,'{"event":"accepted"}');
INSERT INTO action_events VALUES(8,2,1795890653510345,1,'{"event":"claimed"}');
INSERT INTO action_events VALUES(8,3,1795890653510345,1,'{"event":"stepStarted","step":"lookUp"}');
INSERT INTO action_events VALUES(8,4,1795890653510345,1,'{"event":"stepSucceeded","step":"lookUp","message":null}');
INSERT INTO action_events VALUES(8,5,1795890653510345,1,'{"event":"stepStarted","step":"checkAvailable"}');
INSERT INTO action_events VALUES(8,6,1795890653510345,1,'{"event":"stepSucceeded","step":"checkAvailable","message":null}');
INSERT INTO action_events VALUES(8,7,1795890653510345,1,'{"event":"stepStarted","step":"waitForGuest"}');
INSERT INTO action_events VALUES(8,8,1795890653510345,1,'{"event":"stepSucceeded","step":"waitForGuest","message":null}');
INSERT INTO action_events VALUES(8,9,1795890653510345,1,'{"event":"stepStarted","step":"checkDiskSpace"}');
INSERT INTO action_events VALUES(8,10,1795890653510345,1,'{"event":"stepSucceeded","step":"checkDiskSpace","message":null}');
INSERT INTO action_events VALUES(8,11,1795890653510345,1,'{"event":"stepStarted","step":"checkNetwork"}');
INSERT INTO action_events VALUES(8,12,1795890653510345,1,'{"event":"stepSucceeded","step":"checkNetwork","message":null}');
INSERT INTO action_events VALUES(8,13,1795890653510345,1,'{"event":"stepStarted","step":"fetchAgent"}');
INSERT INTO action_events VALUES(9,1,1795890653510345,0,'{"event":"accepted"}');
INSERT INTO action_events VALUES(10,1,1795890653510345,0,'{"event":"accepted"}');
INSERT INTO action_events VALUES(10,2,1795890653510345,1,'{"event":"claimed"}');
INSERT INTO action_events VALUES(10,3,1795890653510345,1,'{"event":"stepStarted","step":"lookUp"}');
INSERT INTO action_events VALUES(10,4,1795890653510345,1,'{"event":"stepSucceeded","step":"lookUp","message":null}');
INSERT INTO action_events VALUES(10,5,1795890653510345,1,'{"event":"stepStarted","step":"checkAvailable"}');
INSERT INTO action_events VALUES(10,6,1795890653510345,1,'{"event":"stepSucceeded","step":"checkAvailable","message":null}');
INSERT INTO action_events VALUES(10,7,1795890653510345,1,'{"event":"stepStarted","step":"waitForGuest"}');
INSERT INTO action_events VALUES(10,8,1795890653510345,1,'{"event":"stepSucceeded","step":"waitForGuest","message":null}');
INSERT INTO action_events VALUES(10,9,1795890653510345,1,'{"event":"stepStarted","step":"checkDiskSpace"}');
INSERT INTO action_events VALUES(10,10,1795890653510345,1,'{"event":"stepSucceeded","step":"checkDiskSpace","message":null}');
INSERT INTO action_events VALUES(10,11,1795890653510345,1,'{"event":"stepStarted","step":"checkNetwork"}');
INSERT INTO action_events VALUES(10,12,1795890653510345,1,'{"event":"stepSucceeded","step":"checkNetwork","message":null}');
INSERT INTO action_events VALUES(10,13,1795890653510345,1,'{"event":"stepStarted","step":"fetchAgent"}');
INSERT INTO action_events VALUES(11,1,1795890653510345,0,'{"event":"accepted"}');
INSERT INTO action_events VALUES(11,2,1795890653510345,1,'{"event":"claimed"}');
INSERT INTO action_events VALUES(11,3,1795890653510345,1,'{"event":"stepStarted","step":"lookUp"}');
INSERT INTO action_events VALUES(11,4,1795890653510345,1,'{"event":"stepSucceeded","step":"lookUp","message":null}');
INSERT INTO action_events VALUES(11,5,1795890653510345,1,'{"event":"stepStarted","step":"checkAvailable"}');
INSERT INTO action_events VALUES(11,6,1795890653510345,1,'{"event":"stepSucceeded","step":"checkAvailable","message":null}');
INSERT INTO action_events VALUES(11,7,1795890653510345,1,'{"event":"stepStarted","step":"waitForGuest"}');
INSERT INTO action_events VALUES(11,8,1795890653510345,1,'{"event":"stepSucceeded","step":"waitForGuest","message":null}');
INSERT INTO action_events VALUES(11,9,1795890653510345,1,'{"event":"stepStarted","step":"checkDiskSpace"}');
INSERT INTO action_events VALUES(11,10,1795890653510345,1,'{"event":"stepSucceeded","step":"checkDiskSpace","message":null}');
INSERT INTO action_events VALUES(11,11,1795890653510345,1,'{"event":"stepStarted","step":"checkNetwork"}');
INSERT INTO action_events VALUES(11,12,1795890653510345,1,'{"event":"stepSucceeded","step":"checkNetwork","message":null}');
INSERT INTO action_events VALUES(11,13,1795890653510345,1,'{"event":"stepStarted","step":"fetchAgent"}');
INSERT INTO action_events VALUES(12,1,1795890653510345,0,'{"event":"accepted"}');
CREATE TABLE deployments (
    tenant_id BLOB NOT NULL,
    partner_id BLOB NOT NULL,
    action_id INTEGER NOT NULL,
    activity_id BLOB NOT NULL,
    line_id INTEGER NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN (
        'pending', 'running', 'undoing', 'done', 'failed', 'canceled', 'notSupported', 'stuck'
    )),
    at_front INTEGER NOT NULL CHECK (at_front IN (0, 1)),
    failure_code TEXT,
    failure_message TEXT,
    started_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, partner_id, action_id)
) WITHOUT ROWID, STRICT;
INSERT INTO deployments VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',3,X'cccecc86dc5543f1bfb1671650b5c772',3,'d3cef0b6-0a99-43ea-8ba6-0c83867eb872','done',0,NULL,NULL,1795890651107213,1795890652288078);
INSERT INTO deployments VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',6,X'f4a1df8d656041e7a36fdabf569d20e7',1,'a95f1ddc-cd99-4565-a2c7-7676b06872cf','pending',0,NULL,NULL,1795890653510345,1795890653510345);
INSERT INTO deployments VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',7,X'f4a1df8d656041e7a36fdabf569d20e7',2,'9e2b9eaf-450d-49b2-9fc9-59b7d3bbea8f','running',1,NULL,NULL,1795890653510345,1795890653510345);
INSERT INTO deployments VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',8,X'f4a1df8d656041e7a36fdabf569d20e7',3,'d3cef0b6-0a99-43ea-8ba6-0c83867eb872','running',1,NULL,NULL,1795890653510345,1795890653510345);
INSERT INTO deployments VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',9,X'f4a1df8d656041e7a36fdabf569d20e7',4,'b99eb6dc-db59-4bc5-9317-3b48725e4f20','pending',0,NULL,NULL,1795890653510345,1795890653510345);
INSERT INTO deployments VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',10,X'f4a1df8d656041e7a36fdabf569d20e7',5,'e36c171f-3033-4661-a148-c0a4e070aaef','running',1,NULL,NULL,1795890653510345,1795890653510345);
INSERT INTO deployments VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',11,X'f4a1df8d656041e7a36fdabf569d20e7',6,'55c413b2-87a3-4785-8d9c-45ece8a880ee','running',1,NULL,NULL,1795890653510345,1795890653510345);
CREATE TABLE activities (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    partner_id BLOB NOT NULL,
    first_action_id INTEGER NOT NULL,
    last_action_id INTEGER NOT NULL,
    deployments INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;
INSERT INTO activities VALUES(X'c0de000000004000800000000000c0de',X'cccecc86dc5543f1bfb1671650b5c772',X'6de4479b424e4727a0ac648cd664fe5f',3,3,1);
INSERT INTO activities VALUES(X'c0de000000004000800000000000c0de',X'f4a1df8d656041e7a36fdabf569d20e7',X'6de4479b424e4727a0ac648cd664fe5f',6,11,6);
CREATE TABLE partners (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    partner_id TEXT NOT NULL,
    enable_connection INTEGER NOT NULL CHECK (enable_connection IN (0, 1)),
    agent TEXT,
    allowed_urls TEXT NOT NULL,
    last_sync_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, partner_id)
) WITHOUT ROWID, STRICT;
INSERT INTO partners VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f','fab00000-0000-4000-8000-000000000fab',1,'{"url":"https://agents.fabrikam.test/agent.msi","sha256":"5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713","install_parameters":[],"auto_deploy":false}','[]',1795890650832809);
CREATE TABLE partner_totals (
    tenant_id BLOB NOT NULL,
    partner_id BLOB NOT NULL,
    deployments INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, partner_id)
) WITHOUT ROWID, STRICT;
INSERT INTO partner_totals VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',7);
CREATE TABLE reports (
    tenant_id BLOB NOT NULL,
    partner_id BLOB NOT NULL,
    id INTEGER NOT NULL,
    report_type TEXT NOT NULL CHECK (report_type IN ('configureAgent', 'deployAgent')),
    actor TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    target TEXT NOT NULL,
    cloud_pc_name TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    activity_id BLOB,
    message TEXT NOT NULL,
    agent TEXT,
    PRIMARY KEY (tenant_id, partner_id, id)
) WITHOUT ROWID, STRICT;
INSERT INTO reports VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',1,'deployAgent','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890651107213,'d3cef0b6-0a99-43ea-8ba6-0c83867eb872','CPC-ada-CSS4L','agent.msi',X'cccecc86dc5543f1bfb1671650b5c772','Asked to deploy agent.msi to CPC-ada-CSS4L.',NULL);
INSERT INTO reports VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',2,'deployAgent','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,'a95f1ddc-cd99-4565-a2c7-7676b06872cf','CPC-ada-HJZ3N','agent.msi',X'f4a1df8d656041e7a36fdabf569d20e7','Asked to deploy agent.msi to CPC-ada-HJZ3N.',NULL);
INSERT INTO reports VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',3,'deployAgent','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,'9e2b9eaf-450d-49b2-9fc9-59b7d3bbea8f','CPC-grace-A7R4W','agent.msi',X'f4a1df8d656041e7a36fdabf569d20e7','Asked to deploy agent.msi to CPC-grace-A7R4W.',NULL);
INSERT INTO reports VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',4,'deployAgent','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,'d3cef0b6-0a99-43ea-8ba6-0c83867eb872','CPC-ada-CSS4L','agent.msi',X'f4a1df8d656041e7a36fdabf569d20e7','Asked to deploy agent.msi to CPC-ada-CSS4L.',NULL);
INSERT INTO reports VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',5,'deployAgent','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,'b99eb6dc-db59-4bc5-9317-3b48725e4f20','CPC-grace-KYY37','agent.msi',X'f4a1df8d656041e7a36fdabf569d20e7','Asked to deploy agent.msi to CPC-grace-KYY37.',NULL);
INSERT INTO reports VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',6,'deployAgent','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,'e36c171f-3033-4661-a148-c0a4e070aaef','CPC-ada-2BYEJ','agent.msi',X'f4a1df8d656041e7a36fdabf569d20e7','Asked to deploy agent.msi to CPC-ada-2BYEJ.',NULL);
INSERT INTO reports VALUES(X'c0de000000004000800000000000c0de',X'6de4479b424e4727a0ac648cd664fe5f',7,'deployAgent','{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}',1795890653510345,'55c413b2-87a3-4785-8d9c-45ece8a880ee','CPC-alan-Z6UVR','agent.msi',X'f4a1df8d656041e7a36fdabf569d20e7','Asked to deploy agent.msi to CPC-alan-Z6UVR.',NULL);
CREATE TABLE audit (
    tenant_id BLOB NOT NULL,
    id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    activity TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID, STRICT;
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',1,1795890628521239,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','Reprovision CloudPC','CloudPC','a95f1ddc-cd99-4565-a2c7-7676b06872cf','a4c9817a-e5d2-49cd-a399-df662d802d9d');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',2,1795890649066695,'{"kind":"system","appId":null,"appName":"cloudpc","userId":null,"userPrincipalName":""}','Reprovision CloudPC: done','CloudPC','a95f1ddc-cd99-4565-a2c7-7676b06872cf','');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',3,1795890649084909,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','Advance clock to idle','Clock','','c4c7c021-ecd1-47c1-9763-24e970a0bc34');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',4,1795890649358925,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','CreateSnapshot CloudPC','CloudPC','9e2b9eaf-450d-49b2-9fc9-59b7d3bbea8f','ba344953-d553-46ba-a4b6-981f895dfd92');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',5,1795890649468369,'{"kind":"system","appId":null,"appName":"cloudpc","userId":null,"userPrincipalName":""}','CreateSnapshot CloudPC: done','CloudPC','9e2b9eaf-450d-49b2-9fc9-59b7d3bbea8f','');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',6,1795890649552954,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','Advance clock to idle','Clock','','c7322e9f-4741-4914-a9f4-fa154bb20a70');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',7,1795890651107213,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','DeployAgent CloudPcExternalPartner','CloudPcExternalPartner','6de4479b-424e-4727-a0ac-648cd664fe5f','0ccb5508-a5f6-4055-885b-76571509be17');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',8,1795890652288078,'{"kind":"system","appId":null,"appName":"cloudpc","userId":null,"userPrincipalName":""}','DeployAgent CloudPC: done','CloudPC','d3cef0b6-0a99-43ea-8ba6-0c83867eb872','');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',9,1795890652288374,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','Advance clock to idle','Clock','','b765dd5e-4d6d-4477-ad77-a0a4cacd7c50');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',10,1795890652310345,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','Pause clock','Clock','','4365cfe1-2a86-4c04-9043-a50d175701e4');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',11,1795890652310345,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','Reprovision CloudPC','CloudPC','a95f1ddc-cd99-4565-a2c7-7676b06872cf','ccb13092-ae74-416a-a5fe-4b64d4199e87');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',12,1795890652310345,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','Reboot CloudPC','CloudPC','b99eb6dc-db59-4bc5-9317-3b48725e4f20','d552b566-6911-4e7d-abff-60aaf3472ed9');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',13,1795890653510345,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','Advance clock','Clock','','d173db31-03a6-4ebe-9c1a-0e448c21942f');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',14,1795890653510345,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','DeployAgent CloudPcExternalPartner','CloudPcExternalPartner','6de4479b-424e-4727-a0ac-648cd664fe5f','9a67a4de-fad7-4693-9f5a-b3c3fb8f1b59');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',15,1795890653510345,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','Resize CloudPC','CloudPC','e36c171f-3033-4661-a148-c0a4e070aaef','3e37d38a-abd6-4f83-be6e-38d335620a80');
INSERT INTO audit VALUES(X'c0de000000004000800000000000c0de',16,1795890653810345,'{"kind":"application","appId":"8177678f-c9fc-4eaa-a916-d66992f2ff2f","appName":"Administrator","userId":null,"userPrincipalName":""}','Advance clock','Clock','','8defd165-3196-4852-8208-efa70f416122');
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID, STRICT;
INSERT INTO settings VALUES('driver',X'73696d');
INSERT INTO settings VALUES('scenario.conditions',X'7b2270616365223a7b2273746f705f6d73223a3630302c22626f6f745f6d73223a313030302c226469736b5f6d73223a323230302c22746f7563685f6d73223a3130302c22656e726f6c5f6d73223a3830302c2266657463685f6d73223a3430302c22696e7374616c6c5f6d73223a3530307d2c22617274696661637473223a5b7b2275726c223a2268747470733a2f2f6167656e74732e66616272696b616d2e746573742f6167656e742e6d7369222c22736861323536223a2235663063356437663064316333643761383666396631623166376130636630653661336639643363356237653261343431386336643065396232663561373133222c2273697a655f6279746573223a313030302c22666f726d6174223a226d7369222c22657869745f636f6465223a302c22646574656374696f6e5f657869745f636f6465223a302c22696e7374616c6c5f6d73223a6e756c6c7d5d7d');
INSERT INTO settings VALUES('scenario.unfinished',X'');
CREATE TABLE deployment_pages (
    id INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    partner_id BLOB NOT NULL,
    after_action_id INTEGER NOT NULL,
    last_action_id INTEGER NOT NULL,
    format INTEGER NOT NULL,
    body BLOB,
    UNIQUE (tenant_id, partner_id, after_action_id),
    CHECK ((format = 0) = (body IS NULL))
) STRICT;
CREATE TABLE undo_records (
    action_id INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    line_id INTEGER NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    before TEXT NOT NULL,
    kept_until INTEGER NOT NULL,
    -- None until the driver was asked.
    size_bytes INTEGER,
    -- What was set aside may be gone: there is no way back any more, only something to clear away.
    dropping INTEGER NOT NULL CHECK (dropping IN (0, 1)),
    -- When there is something to do about it: to ask for its size, to drop it, or to try again.
    due_at INTEGER NOT NULL
) STRICT;
INSERT INTO undo_records VALUES(1,X'c0de000000004000800000000000c0de',1,X'a95f1ddccd994565a2c77676b06872cf','{"diskAside":true,"servicePlanId":"5a35665b-dd92-4826-beca-af6500752877","imageId":"a_b_eleven","osVersion":"windows11","userAccountType":"standardUser","provisionedAt":1795890628001008,"aadDeviceId":"bfa46e7b-3cdf-4e54-9d8c-8ae5b7377e44","status":"provisioned","statusDetail":null}',1796495449066695,34359738368,0,1796495449066695);
CREATE TABLE health_checks (
    line_id INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    restarts INTEGER NOT NULL,
    restart_at INTEGER,
    forget_at INTEGER,
    due_at INTEGER NOT NULL
, enrol INTEGER NOT NULL DEFAULT 0 CHECK (enrol IN (0, 1))) STRICT;
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
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('actions',12);
CREATE UNIQUE INDEX users_name ON users (tenant_id, lower(user_principal_name));
CREATE UNIQUE INDEX cloud_pcs_managed_device ON cloud_pcs (tenant_id, managed_device_id);
CREATE INDEX cloud_pcs_user ON cloud_pcs (tenant_id, user_id, id);
CREATE UNIQUE INDEX snapshots_id ON snapshots (tenant_id, id);
CREATE UNIQUE INDEX actions_front ON actions (line_id) WHERE at_front = 1;
CREATE UNIQUE INDEX actions_idempotency ON actions (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX actions_claim ON actions (claim_at, id) WHERE at_front = 1 AND claim_at IS NOT NULL;
CREATE INDEX actions_waiting ON actions (deadline_at, id) WHERE at_front = 0 AND open = 1;
CREATE INDEX actions_by_target ON actions (line_id, remote, id);
CREATE TRIGGER action_events_append_only BEFORE UPDATE ON action_events
BEGIN
    SELECT RAISE(ABORT, 'the log of an action is append-only');
END;
CREATE TRIGGER audit_never_updated BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never updated');
END;
CREATE INDEX deployment_pages_format ON deployment_pages (format, id);
CREATE UNIQUE INDEX undo_records_line ON undo_records (line_id) WHERE dropping = 0;
CREATE INDEX undo_records_due ON undo_records (due_at, action_id);
CREATE INDEX undo_records_kept ON undo_records (action_id, line_id, size_bytes) WHERE dropping = 0 AND size_bytes > 0;
CREATE UNIQUE INDEX actions_open ON actions (line_id, nullif(remote, 0)) WHERE open = 1;
CREATE INDEX health_checks_due ON health_checks (due_at, line_id);
COMMIT;
