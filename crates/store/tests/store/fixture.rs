//! Stores in fresh directories, and things to put into them.

use std::path::Path;
use std::sync::Arc;

use cloudpc_model::{
    Action, ActionId, ActivityId, Actor, AgentSetting, CloudPc, CloudPcId, CloudPcStatus, Event, EventKind, ImageId,
    ManagedDeviceId, OsVersion, Params, PartnerId, Power, Product, ProvisioningType, ServicePlanId, State, TenantId,
    Timestamp, UserAccountType, UserExperienceType, UserId,
};
use cloudpc_store::{Advance, NewAction, Reader, Store, StoreError, Tx, WriteMode, testing};
use tempfile::TempDir;
use uuid::Uuid;

pub const TENANT: TenantId = TenantId(Uuid::from_u128(0x1));
pub const OTHER_TENANT: TenantId = TenantId(Uuid::from_u128(0x2));
pub const PARTNER: PartnerId = PartnerId(Uuid::from_u128(0x50));
pub const ACTIVITY: ActivityId = ActivityId(Uuid::from_u128(0xac));
pub const MACHINE: &str = "00000000-0000-0000-0000-0000000000a1";
pub const OTHER_MACHINE: &str = "00000000-0000-0000-0000-0000000000a2";

/// A store whose work is done at once, so that stories need no runtime.
pub struct Book {
    pub store: Store,
    pub directory: TempDir,
}

impl Book {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { store: testing::open(directory.path(), WriteMode::InlineTwice).unwrap(), directory }
    }

    /// A store in SQLite, for tests that look into its file.
    pub fn in_file() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { store: Store::open(directory.path(), WriteMode::InlineTwice).unwrap(), directory }
    }

    pub fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        block_on(self.store.write("test.write", work))
    }

    pub fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        block_on(self.store.read(work)).unwrap()
    }

    pub fn insert(&self, new: NewAction) -> Result<ActionId, StoreError> {
        self.write(move |tx| tx.action_insert(&new))
    }

    pub fn claim(&self, now: i64, lease_until: i64) -> Vec<Action> {
        self.claim_up_to(now, lease_until, 10)
    }

    pub fn claim_up_to(&self, now: i64, lease_until: i64, limit: usize) -> Vec<Action> {
        self.write(move |tx| claim(tx, now, lease_until, limit)).unwrap()
    }

    pub fn append(&self, id: ActionId, epoch: i64, at: i64, kind: EventKind) -> Result<Action, StoreError> {
        self.write(move |tx| tx.action_append(id, epoch, Timestamp(at), kind.clone()))
    }

    pub fn action(&self, id: ActionId) -> Action {
        self.read(move |reader| reader.action(TENANT, id)).unwrap()
    }

    /// A second look at the file, past the store.
    pub fn sql(&self) -> rusqlite::Connection {
        open_sql(self.directory.path())
    }
}

/// Claims actions as a new worker and logs nothing else.
pub fn claim(tx: &mut Tx<'_>, now: i64, lease_until: i64, limit: usize) -> Result<Vec<Action>, StoreError> {
    tx.worker_expire(None, Timestamp(now))?;
    let worker = tx.worker_insert(Timestamp(lease_until))?;
    let mut claimed = Vec::new();
    for mut action in tx.action_claimable(Timestamp(now), limit)? {
        let event = Event { at: Timestamp(now), epoch: action.epoch + 1, kind: EventKind::Claimed };
        action.apply(&event)?;
        let advance = Advance { action: Arc::new(action.clone()), events: vec![event], power: None };
        tx.action_claim(&advance, worker)?;
        claimed.push(action);
    }
    Ok(claimed)
}

pub fn open_sql(directory: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(directory.join("cloudpc.db")).unwrap()
}

/// Takes a database back to before workers.
pub const BEFORE_WORKERS: &str = "ALTER TABLE actions DROP COLUMN bulk_action_id;
    DROP TABLE shared_assignment_queue;
    ALTER TABLE cloud_pcs DROP COLUMN provisioning_type; ALTER TABLE cloud_pcs DROP COLUMN user_experience_type;
    ALTER TABLE cloud_pcs DROP COLUMN session_started_at;
    ALTER TABLE cloud_pcs DROP COLUMN on_premises_connection_id;
    DROP TABLE bulk_actions; DROP TABLE bulk_action_items;
    DROP TABLE remote_sessions; DROP TABLE alert_evaluations; DROP TABLE active_alerts; DROP TABLE accepted_requests;
    DROP TABLE cloud_pc_reviews; DROP TABLE frontline_activations;
    DROP TABLE restore_point_schedules; DROP TABLE export_files;
    DROP TABLE workers; DROP INDEX actions_worker; ALTER TABLE actions RENAME COLUMN worker_id TO leased;";

/// Takes a database back to before rollouts, the change feed and authorization codes.
pub const BEFORE_ROLLOUTS: &str = "
    DROP TABLE authorization_codes; DROP TABLE app_certificates;
    DROP TABLE changes; DROP TABLE webhook_deliveries;
    DROP TABLE rollouts; DROP TABLE rollout_cloud_pcs; DROP TABLE policy_schedules;
    ALTER TABLE cloud_pcs DROP COLUMN single_sign_on;";

/// Takes a database back to before entitlements.
pub const BEFORE_ENTITLEMENTS: &str =
    "DROP TABLE entitlements; DROP INDEX cloud_pcs_grace; DROP INDEX cloud_pcs_device_name;";

/// Takes away what migrations after 0012 add, so that a database looks like one of an earlier
/// version.
pub const BEFORE_COUNTERS: &str = "DROP TABLE counters";

/// Takes a database back to before the directory.
pub const BEFORE_DIRECTORY: &str = "
    DROP TABLE groups; DROP TABLE group_members; DROP TABLE subscriptions; DROP TABLE license_assignments;
    DROP TABLE licenses; DROP TABLE provisioning_queue;
    ALTER TABLE users DROP COLUMN given_name; ALTER TABLE users DROP COLUMN surname;
    ALTER TABLE users DROP COLUMN mail; ALTER TABLE users DROP COLUMN mail_nickname;
    ALTER TABLE users DROP COLUMN job_title;
    ALTER TABLE users DROP COLUMN department; ALTER TABLE users DROP COLUMN usage_location;
    ALTER TABLE users DROP COLUMN created_at;
";

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub fn action(target: &str, params: Params, at: i64) -> NewAction {
    NewAction {
        tenant_id: TENANT,
        target: target.to_owned(),
        params,
        requested_by: Actor::system(),
        bulk_action_id: None,
        requested_at: Timestamp(at),
        deadline_at: Timestamp(at + 1_000_000),
        tag_nonce: u64::MAX,
        idempotency_key: None,
    }
}

pub fn reboot(target: &str, at: i64) -> NewAction {
    action(target, Params::Reboot, at)
}

pub fn deploy(target: &str, at: i64) -> NewAction {
    deploy_in(PARTNER, ACTIVITY, target, at)
}

pub fn deploy_in(partner_id: PartnerId, activity_id: ActivityId, target: &str, at: i64) -> NewAction {
    action(target, Params::DeployAgent { partner_id, activity_id, agent: agent() }, at)
}

pub fn agent() -> AgentSetting {
    AgentSetting {
        url: "https://partner.test/agent.msi".into(),
        sha256: "00".repeat(32),
        install_parameters: vec!["TOKEN=secret".into()],
        auto_deploy: false,
        detection: None,
    }
}

pub fn started(step: &str) -> EventKind {
    EventKind::StepStarted { step: step.into() }
}

pub fn finished(outcome: State) -> EventKind {
    EventKind::Finished { outcome, failure: None }
}

/// Takes a database back to before documents: what is there now, and the tables that were there
/// instead.
pub const BEFORE_DOCUMENTS: &str = "
    DROP TABLE documents; DROP TABLE document_names; DROP TABLE document_references;
    CREATE TABLE service_plans (
        tenant_id BLOB NOT NULL, id BLOB NOT NULL, plan TEXT NOT NULL, PRIMARY KEY (tenant_id, id)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE gallery_images (
        tenant_id BLOB NOT NULL, id TEXT NOT NULL, image TEXT NOT NULL, PRIMARY KEY (tenant_id, id)
    ) WITHOUT ROWID, STRICT;";

/// Takes the columns and indexes of lists out of a new database, as before they were there.
pub const BEFORE_LISTS: &str = "
    DROP INDEX users_display_name; DROP INDEX users_mail; DROP INDEX groups_display_name; DROP INDEX snapshots_created;
    DROP TABLE cloud_pc_name_parts;
    DROP INDEX cloud_pcs_display_name; DROP INDEX cloud_pcs_display_name_folded; DROP INDEX cloud_pcs_managed_device_name;
    DROP INDEX cloud_pcs_user_principal_name; DROP INDEX cloud_pcs_provisioning_policy;
    DROP INDEX cloud_pcs_provisioning_policy_name; DROP INDEX cloud_pcs_service_plan; DROP INDEX cloud_pcs_status;
    DROP INDEX audit_time; ALTER TABLE cloud_pcs DROP COLUMN display_name_folded;";

/// A Cloud PC of a tenant, with a managed device.
pub fn cloud_pc(tenant_id: TenantId, number: u128, device: u128) -> CloudPc {
    CloudPc {
        tenant_id,
        id: CloudPcId(Uuid::from_u128(number)),
        managed_device_id: ManagedDeviceId(Uuid::from_u128(device)),
        aad_device_id: Uuid::from_u128(number),
        display_name: format!("PC {number}"),
        managed_device_name: format!("CPC-{number}"),
        user_id: Some(UserId(Uuid::from_u128(number % 2 + 1))),
        user_principal_name: "ada@contoso.test".into(),
        service_plan_id: ServicePlanId(Uuid::from_u128(7)),
        image_id: ImageId("image".into()),
        provisioning_policy_id: String::new(),
        provisioning_policy_name: String::new(),
        region: "westus3".into(),
        single_sign_on: false,
        product: Product::Business,
        provisioning_type: ProvisioningType::Dedicated,
        user_experience_type: UserExperienceType::CloudPc,
        session_started_at: None,
        on_premises_connection_id: String::new(),
        status: CloudPcStatus::Provisioned,
        status_before: None,
        status_detail: None,
        power_intended: Power::Running,
        power_observed: Power::Running,
        os_version: OsVersion::Windows11,
        user_account_type: UserAccountType::StandardUser,
        provisioned_at: None,
        grace_ends_at: None,
        modified_at: Timestamp(2),
        created_at: Timestamp(1),
    }
}
