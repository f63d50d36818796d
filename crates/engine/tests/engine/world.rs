//! Test engine: a small fleet, its store and an engine, with ways to crash the engine and to
//! inspect its state.

use cloudpc_drivers::sim::{Artifact, Pace, ScriptedCondition, SimClock, SimDriver, SimParts};
use cloudpc_drivers::{Driver, Fetcher, MachineSpec, Tag};
use cloudpc_engine::{
    Effect, Engine, EngineDependencies, EngineSettings, FaultRule, Faults, GRACE_PERIOD, RequestContext, RestartPolicy,
    ReviewRequest,
};
use cloudpc_model::{
    Action, ActionId, Actor, AgentSetting, AuditEntry, AuditResource, AuditResult, AuditVerb, BlobAccessTier, Clock,
    CloudPc, CloudPcId, CloudPcStatus, Document, DocumentKey, DocumentType, Event, EventKind, GalleryImage, GroupId,
    ImageId, ManagedDeviceId, Object, OsVersion, Params, Partner, PartnerId, Power, Product, ProvisioningType,
    RemoteSession, ResourceType, Rng, SeededRng, ServicePlan, ServicePlanId, State, TenantId, Timestamp,
    UserAccessLevel, UserAccountType, UserExperienceType, UserId,
};
use cloudpc_store::{DocumentIndex, Group, Reader, Store, StoreError, Tx, User, UserProfile, WriteMode, testing};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const AGENT_URL: &str = "https://agents.partner.test/files/agent.msi";
pub const UNDO_WINDOW: Duration = Duration::from_secs(7 * 86_400);
pub const START: Timestamp = Timestamp(1_700_000_000_000_000);

pub struct TestEngine {
    pub store: Store,
    pub driver: SimDriver,
    pub clock: SimClock,
    pub rng: Arc<SeededRng>,
    pub faults: Arc<Faults>,
    pub engine: Engine,
    pub settings: EngineSettings,
    pub partner: PartnerId,
    crashed: Arc<AtomicBool>,
    running: Vec<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

pub fn tenant() -> TenantId {
    TenantId(Uuid::from_u128(1))
}

/// Returns a service plan with 2 processors, 8 GiB of memory and 128 GiB of storage.
pub fn small() -> ServicePlanId {
    ServicePlanId(Uuid::from_u128(2))
}

/// Returns a service plan with 4 processors, 16 GiB of memory and 256 GiB of storage.
pub fn big() -> ServicePlanId {
    ServicePlanId(Uuid::from_u128(3))
}

/// Returns a service plan with a GPU.
pub fn gpu() -> ServicePlanId {
    ServicePlanId(Uuid::from_u128(4))
}

pub fn image(os_version: OsVersion) -> ImageId {
    match os_version {
        OsVersion::Windows10 => ImageId("publisher_offer_win10".into()),
        OsVersion::Windows11 => ImageId("publisher_offer_win11".into()),
    }
}

pub fn asked() -> RequestContext {
    let by = Actor { user_principal_name: "ada@contoso.test".into(), ..Actor::system() };
    RequestContext { tenant_id: tenant(), by, request_id: "request-1".into(), request_key: None, bulk_action_id: None }
}

pub fn agent() -> AgentSetting {
    AgentSetting {
        url: AGENT_URL.into(),
        sha256: "ab".repeat(32),
        install_parameters: vec!["/token=hunter22".into()],
        auto_deploy: false,
        detection: None,
    }
}

/// Returns an on-premises connection.
pub fn connection(number: u128, connection_type: &str) -> Document {
    let body = json!({
        "displayName": format!("Connection {number}"),
        "connectionType": connection_type,
        "adDomainName": "corp.contoso.test",
    });
    let id = Uuid::from_u128(number).to_string();
    Document {
        tenant_id: tenant(),
        key: DocumentKey::new(DocumentType::CloudPcOnPremisesConnection, &id),
        revision: 1,
        body: body.as_object().unwrap().clone(),
        status: Object::new(),
        secret_counts: Object::new(),
        created_at: START,
        modified_at: START,
    }
}

pub fn artifact() -> Artifact {
    Artifact {
        url: AGENT_URL.into(),
        sha256: "ab".repeat(32),
        size_bytes: 5_000_000,
        format: "msi".into(),
        exit_code: 0,
        detection_exit_code: 0,
        install_ms: None,
    }
}

/// Returns a rule that matches everything.
pub fn rule(effect: Effect) -> FaultRule {
    FaultRule {
        tenant_id: None,
        cloud_pcs: vec![],
        share_percent: None,
        kind: None,
        step: None,
        nth: None,
        undo: false,
        effect,
    }
}

pub fn fail() -> Effect {
    Effect::Fail { code: "scripted".into(), message: "A fault rule failed the step.".into() }
}

pub fn settings() -> EngineSettings {
    EngineSettings {
        business_only: false,
        lease: Duration::from_secs(60),
        running_max: 4096,
        agent_bytes_max: 1 << 30,
        agent_disk_bytes_min: 1 << 30,
        install_time_max: Duration::from_secs(1800),
        undo_window: UNDO_WINDOW,
        restart: RestartPolicy::OnFailure,
        undo_disk_bytes_max: 1 << 50,
    }
}

impl TestEngine {
    pub async fn new(seed: u64) -> Self {
        Self::with(seed, settings()).await
    }

    pub async fn with(seed: u64, settings: EngineSettings) -> Self {
        Self::in_mode(WriteMode::InlineTwice, seed, settings).await
    }

    pub async fn in_mode(mode: WriteMode, seed: u64, settings: EngineSettings) -> Self {
        let directory = tempdir();
        let store = testing::open(directory.path(), mode).unwrap();
        let clock = SimClock::paused(START);
        let rng = Arc::new(SeededRng::new(seed));
        let parts =
            SimParts { clock: Arc::new(clock.clone()), rng: Arc::clone(&rng) as Arc<dyn Rng>, fetcher: fetcher() };
        let driver = SimDriver::open(None, parts).unwrap();
        driver.configure(Pace::default(), vec![artifact()]);
        let crashed = Arc::new(AtomicBool::new(false));
        let crash = Arc::clone(&crashed);
        let faults = Arc::new(Faults::new(Box::new(move || crash.store(true, Ordering::SeqCst))));
        let partner = Partner {
            tenant_id: tenant(),
            id: PartnerId(Uuid::from_u128(9)),
            partner_id: "partner".into(),
            enable_connection: true,
            agent: Some(agent()),
            allowed_urls: vec![],
            last_sync_at: None,
        };
        let partner_id = partner.id;
        store
            .write("test.write", move |tx| {
                tx.tenant_put(tenant(), "Contoso")?;
                for (id, vcpu_count, storage_gib, gpu) in
                    [(small(), 2, 128, false), (big(), 4, 256, false), (gpu(), 8, 512, true)]
                {
                    tx.service_plan_put(tenant(), &plan(id, vcpu_count, storage_gib, gpu))?;
                }
                for os_version in [OsVersion::Windows10, OsVersion::Windows11] {
                    let display_name = "Windows".into();
                    let id = image(os_version);
                    tx.gallery_image_put(
                        tenant(),
                        &GalleryImage { id, display_name, size_gib: 64, os_version, os_version_number: None },
                    )?;
                }
                tx.partner_insert(&partner)
            })
            .await
            .unwrap();
        let engine = Engine::new(EngineDependencies {
            store: store.clone(),
            driver: Arc::new(driver.clone()),
            clock: Arc::new(clock.clone()),
            rng: Arc::clone(&rng) as Arc<dyn Rng>,
            faults: Arc::clone(&faults),
            settings: settings.clone(),
        });
        Self {
            store,
            driver,
            clock,
            rng,
            faults,
            engine,
            settings,
            partner: partner_id,
            crashed,
            running: Vec::new(),
            directory,
        }
    }

    /// Returns a running engine with one machine.
    pub async fn started(seed: u64) -> (Self, CloudPcId) {
        let mut world = Self::new(seed).await;
        let id = world.add(1, ScriptedCondition::default()).await;
        world.start();
        (world, id)
    }

    /// Adds a Cloud PC whose machine has been running for a while.
    pub async fn add(&self, number: u32, scripted_condition: ScriptedCondition) -> CloudPcId {
        self.add_on(number, small(), scripted_condition).await
    }

    pub async fn add_on(
        &self,
        number: u32,
        plan_id: ServicePlanId,
        scripted_condition: ScriptedCondition,
    ) -> CloudPcId {
        let cloud_pc = self.new_cloud_pc(number, plan_id);
        let id = cloud_pc.id;
        let plan = self.store.read(move |reader| reader.service_plan(tenant(), plan_id)).await;
        let plan: ServicePlan = plan.map_err(|error: StoreError| error).unwrap().unwrap();
        let spec = MachineSpec {
            id,
            hostname: cloud_pc.managed_device_name.clone(),
            vcpu_count: plan.vcpu_count,
            ram_gib: plan.ram_gib,
            storage_gib: plan.storage_gib,
            gpu: plan.gpu,
            image: cloud_pc.image_id.clone(),
        };
        self.driver.seed(&spec, scripted_condition).unwrap();
        self.change(move |tx| tx.cloud_pc_insert(&cloud_pc)).await;
        id
    }

    /// Adds a Cloud PC that has no machine yet.
    pub async fn add_without_machine(&self, number: u32) -> CloudPcId {
        let cloud_pc = self.new_cloud_pc(number, small());
        let id = cloud_pc.id;
        self.change(move |tx| tx.cloud_pc_insert(&cloud_pc)).await;
        id
    }

    fn new_cloud_pc(&self, number: u32, plan_id: ServicePlanId) -> CloudPc {
        let now = self.clock.now();
        CloudPc {
            tenant_id: tenant(),
            id: CloudPcId(Uuid::from_u128(0xc10d << 32 | u128::from(number))),
            managed_device_id: ManagedDeviceId(Uuid::from_u128(0xde1ce << 32 | u128::from(number))),
            aad_device_id: Uuid::from_u128(u128::from(number)),
            display_name: format!("Cloud PC {number}"),
            managed_device_name: format!("CPC-{number}"),
            user_id: Some(UserId(Uuid::from_u128(7))),
            user_principal_name: "ada@contoso.test".into(),
            service_plan_id: plan_id,
            image_id: image(OsVersion::Windows11),
            provisioning_policy_id: String::new(),
            provisioning_policy_name: String::new(),
            region: "westus3".into(),
            single_sign_on: false,
            product: Product::Enterprise,
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
            provisioned_at: Some(now),
            grace_ends_at: None,
            modified_at: now,
            created_at: now,
        }
    }

    /// Makes a Cloud PC a shared one that its user is connected to, and whose disk is replaced
    /// after each session.
    pub async fn share(&self, id: CloudPcId) {
        const POLICY: &str = "shared";
        let body =
            json!({"displayName": "Shared", "provisioningType": "sharedByEntraGroup", "snapshotResetMode": "enabled"});
        self.add_document(&Document {
            tenant_id: tenant(),
            key: DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, POLICY),
            revision: 1,
            body: body.as_object().unwrap().clone(),
            status: Object::new(),
            secret_counts: Object::new(),
            created_at: START,
            modified_at: START,
        })
        .await;
        let now = self.clock.now();
        self.change(move |tx| {
            let cloud_pc = tx.cloud_pc(tenant(), id)?.unwrap();
            let session = RemoteSession {
                id: 0,
                user_principal_name: cloud_pc.user_principal_name.clone(),
                signed_in_at: now,
                signed_out_at: None,
                seen_at: None,
                round_trip_ms: None,
                bandwidth_kbps: None,
                sign_in_ms: None,
            };
            tx.remote_session_insert(tenant(), id, &session)?;
            tx.cloud_pc_update(&CloudPc {
                provisioning_type: ProvisioningType::SharedByEntraGroup,
                provisioning_policy_id: POLICY.into(),
                session_started_at: Some(now),
                ..cloud_pc
            })
        })
        .await;
    }

    /// Signs out the user of a shared Cloud PC. Returns the action that prepares it.
    pub async fn sign_out(&self, id: CloudPcId) -> ActionId {
        let resource = AuditResource::new(ResourceType::CloudPc, id);
        let entry = AuditEntry::new(tenant(), self.clock.now(), Actor::system(), AuditVerb::Inject, resource);
        assert_eq!(self.engine.sign_out(tenant(), id, entry).await.unwrap(), 1);
        self.latest_action(&id.to_string()).await
    }

    /// Accepts the provisioning of a Cloud PC without a machine.
    pub async fn provision(&self, id: CloudPcId) -> ActionId {
        self.engine.provision_missing().await.unwrap();
        self.latest_action(&id.to_string()).await
    }

    pub async fn add_document(&self, document: &Document) {
        let document = document.clone();
        self.change(move |tx| tx.document_insert(&document, &DocumentIndex::default())).await.unwrap();
    }

    /// Returns a document; none if it was deleted.
    pub async fn find_document(&self, key: &DocumentKey) -> Option<Document> {
        let key = key.clone();
        self.change(move |tx| tx.document(tenant(), &key)).await
    }

    /// Accepts an action on a document, as a write to the document does.
    pub async fn accept_on_document(&self, document: &Document, params: Params) -> ActionId {
        let (engine, document, now) = (self.engine.clone(), document.clone(), self.clock.now());
        self.change(move |tx| engine.accept_on_document(tx, &asked(), &document, params.clone(), now)).await
    }

    /// Returns the latest action on a target.
    pub async fn latest_action(&self, target: &str) -> ActionId {
        let target = target.to_owned();
        let list = self.change(move |tx| tx.action_list(tenant(), &target, cloudpc_store::ActionFilter::All, None, 1));
        list.await[0].id
    }

    /// Puts a Cloud PC into its grace period.
    pub async fn begin_grace(&self, id: CloudPcId) {
        let now = self.clock.now();
        self.update(id, |cloud_pc| {
            cloud_pc.status = CloudPcStatus::InGracePeriod;
            cloud_pc.grace_ends_at = Some(now + GRACE_PERIOD);
        })
        .await;
    }

    /// Returns a Cloud PC; none if it was deprovisioned.
    pub async fn find_cloud_pc(&self, id: CloudPcId) -> Option<CloudPc> {
        self.change(move |tx| tx.cloud_pc(tenant(), id)).await
    }

    /// Starts another engine.
    pub fn start(&mut self) {
        let engine = self.engine.clone();
        self.running.push(tokio::spawn(async move { engine.run(CancellationToken::new()).await }));
    }

    /// Starts a new engine on the same store and machines, as another process would.
    pub fn start_another(&mut self) {
        self.engine = self.new_engine();
        self.start();
    }

    fn new_engine(&self) -> Engine {
        Engine::new(EngineDependencies {
            store: self.store.clone(),
            driver: Arc::new(self.driver.clone()),
            clock: Arc::new(self.clock.clone()),
            rng: Arc::clone(&self.rng) as Arc<dyn Rng>,
            faults: Arc::clone(&self.faults),
            settings: self.settings.clone(),
        })
    }

    /// Crashes the process and starts another.
    pub async fn crash(&mut self) {
        for running in self.running.drain(..) {
            running.abort();
            let _ = running.await;
        }
        self.crashed.store(false, Ordering::SeqCst);
        self.change(|tx| tx.worker_expire_all()).await;
        self.start_another();
    }

    /// Copies the present database.
    pub fn back_up(&self) -> tempfile::TempDir {
        let backup = tempdir();
        for name in ["cloudpc.db", "cloudpc.db-wal"] {
            std::fs::copy(self.directory.path().join(name), backup.path().join(name)).unwrap();
        }
        backup
    }

    /// Stops the process and starts another with an older database and the same machines.
    pub async fn restore(&mut self, backup: tempfile::TempDir) {
        self.store = testing::open(backup.path(), WriteMode::InlineTwice).unwrap();
        self.directory = backup;
        self.crash().await;
    }

    pub async fn change<T: Send + 'static>(
        &self,
        change: impl Fn(&mut cloudpc_store::Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write("test.write", change).await.unwrap()
    }

    pub async fn cloud_pc(&self, id: CloudPcId) -> CloudPc {
        self.find_cloud_pc(id).await.unwrap()
    }

    pub async fn update(&self, id: CloudPcId, update: impl FnOnce(&mut CloudPc)) {
        let mut cloud_pc = self.cloud_pc(id).await;
        update(&mut cloud_pc);
        self.change(move |tx| tx.cloud_pc_update(&cloud_pc)).await;
    }

    pub async fn update_partner(&self, update: impl FnOnce(&mut Partner)) {
        let id = self.partner;
        let mut partner = self.change(move |tx| tx.partner(tenant(), id)).await.unwrap();
        update(&mut partner);
        self.change(move |tx| tx.partner_update(&partner)).await;
    }

    pub async fn action(&self, id: ActionId) -> Action {
        self.change(move |tx| tx.action(tenant(), id)).await.unwrap()
    }

    /// Returns the tag of an action's work on its machine.
    pub async fn tag(&self, id: ActionId) -> Tag {
        let nonce = self.action(id).await.tag_nonce.expect("every new action has a nonce");
        Tag(format!("action-{id}-{nonce:016x}"))
    }

    pub async fn events(&self, id: ActionId) -> Vec<Event> {
        self.change(move |tx| tx.action_events(id)).await
    }

    /// Runs everything that needs no time to pass.
    pub async fn rest(&mut self) {
        self.advance(Duration::ZERO).await;
    }

    pub async fn advance(&mut self, by: Duration) {
        self.clock.advance(by).await;
        if self.crashed.load(Ordering::SeqCst) {
            self.crash().await;
            self.clock.advance(Duration::ZERO).await;
        }
    }

    /// Advances the clock to the next event; returns false if there is none.
    pub async fn tick(&mut self) -> bool {
        let Some(next) = self.clock.next_wake() else { return false };
        self.advance(next.since(self.clock.now())).await;
        true
    }

    /// Advances the clock until the action meets `wanted`.
    pub async fn until(&mut self, id: ActionId, wanted: impl Fn(&Action) -> bool) -> Action {
        self.rest().await;
        loop {
            let action = self.action(id).await;
            if wanted(&action) {
                return action;
            }
            assert!(!action.state.is_final(), "ended differently: {action:#?}");
            assert!(self.clock.now().since(START) < Duration::from_secs(90 * 86400), "takes too long: {action:#?}");
            assert!(self.tick().await, "nothing is due: {action:#?}");
        }
    }

    /// Advances the clock until the action has ended or is stuck.
    pub async fn end(&mut self, id: ActionId) -> Action {
        self.until(id, |action| action.state.is_final() || action.state == State::Stuck).await
    }

    /// Advances the clock until no action is open.
    pub async fn idle(&mut self) {
        self.rest().await;
        loop {
            if self.change(|tx| tx.action_open_count()).await == 0 {
                return;
            }
            assert!(self.tick().await, "actions are open and nothing is due");
        }
    }

    /// Deploys the partner's agent to `target`; returns the action.
    pub async fn deploy(&self, target: &str) -> ActionId {
        self.engine.deploy(&asked(), self.partner, vec![target.to_owned()]).await.unwrap();
        self.latest_action(target).await
    }

    /// Assigns a user setting to the user of a Cloud PC and waits until a restore point is due;
    /// returns the action that takes it.
    pub async fn take_restore_point(&mut self, id: CloudPcId) -> ActionId {
        let now = self.clock.now();
        self.change(move |tx| {
            add_user_setting(tx, id, "fourHours")?;
            tx.restore_point_schedule(tenant(), id, now + Duration::from_hours(4))
        })
        .await;
        self.advance(Duration::from_hours(4)).await;
        self.latest_action(&id.to_string()).await
    }

    /// Deletes the only restore point of a Cloud PC; returns the action that drops its disk.
    pub async fn drop_restore_point(&self, id: CloudPcId) -> ActionId {
        let find = move |reader: &Reader<'_>| {
            let snapshot = reader.snapshot_list(tenant(), Some(id), None, 1)?.remove(0);
            Ok::<_, cloudpc_model::Error>((reader.cloud_pc(tenant(), id)?.unwrap(), snapshot.id))
        };
        self.engine.delete_snapshot(&asked(), find).await.unwrap();
        self.latest_action(&id.to_string()).await
    }

    /// Puts a Cloud PC under review; returns the action that takes its restore point.
    pub async fn begin_review(&self, id: CloudPcId) -> ActionId {
        let request = ReviewRequest::Begin {
            user_access: UserAccessLevel::Restricted,
            subscription_id: None,
            storage_account_id: None,
            access_tier: BlobAccessTier::Hot,
        };
        let find = move |reader: &Reader<'_>| {
            Ok::<_, cloudpc_model::Error>((reader.cloud_pc(tenant(), id)?.unwrap(), request.clone()))
        };
        self.engine.set_review_status(&asked(), find).await.unwrap().unwrap()
    }

    pub async fn write_marker(&self, id: CloudPcId, content: &str) {
        let guest = self.driver.guest(id).await.unwrap();
        guest.write_file("C:\\marker", content.as_bytes()).await.unwrap();
    }

    pub async fn marker(&self, id: CloudPcId) -> Option<String> {
        let guest = self.driver.guest(id).await.unwrap();
        guest.read_file("C:\\marker").await.unwrap().map(|content| String::from_utf8(content).unwrap())
    }

    /// Returns the tags of a machine's old disks.
    pub async fn asides(&self, id: CloudPcId) -> Vec<String> {
        let asides = self.driver.observe(id).await.unwrap().asides;
        asides.into_iter().map(|aside| aside.tag.0).collect()
    }

    /// Checks the invariants of every action: its row is the fold of its log, and nothing follows
    /// its end.
    pub async fn check_log(&self, id: ActionId) {
        let (action, events) = (self.action(id).await, self.events(id).await);
        let mut fold = action.without_events();
        for event in &events {
            fold.apply(event).unwrap();
        }
        assert_eq!(fold, action);
        let is_end = |event: &&Event| matches!(event.kind, EventKind::Finished { .. } | EventKind::Settled { .. });
        assert_eq!(events.iter().filter(is_end).count(), usize::from(action.state.is_final()), "{events:#?}");
    }

    /// Returns the audit log, oldest first.
    pub async fn audit_rows(&self) -> Vec<AuditEntry> {
        let mut rows = self.change(|tx| tx.audit_list(tenant(), None, 1000)).await;
        rows.reverse();
        rows
    }

    /// Returns each activity of the audit log, oldest first, with its result unless that is
    /// success.
    pub async fn audit(&self) -> Vec<String> {
        let told = |row: &AuditEntry| match row.result {
            AuditResult::Success => row.activity(),
            result => format!("{}: {result:?}", row.activity()),
        };
        self.audit_rows().await.iter().map(told).collect()
    }
}

fn plan(id: ServicePlanId, vcpu_count: u32, storage_gib: u32, gpu: bool) -> ServicePlan {
    ServicePlan {
        id,
        display_name: format!("Cloud PC {vcpu_count}vCPU/{storage_gib}GB"),
        vcpu_count,
        ram_gib: vcpu_count * 4,
        storage_gib,
        product: Product::Enterprise,
        gpu,
    }
}

/// Reading the public authorities takes longer than most tests.
fn fetcher() -> Fetcher {
    static FETCHER: OnceLock<Fetcher> = OnceLock::new();
    FETCHER.get_or_init(|| Fetcher::new(None).unwrap()).clone()
}

/// What all tests together need of a file system, bytes.
const SCRATCH_BYTES_MIN: u64 = 1 << 30;

/// In memory where there is room, since what is tested here is not the disk. In containers
/// `/dev/shm` often has 64 MiB, and so may `/tmp`; there is room where this program was built.
fn tempdir() -> tempfile::TempDir {
    const MEMORY: &str = "/dev/shm";
    static ROOMY: OnceLock<bool> = OnceLock::new();
    let free_bytes = |path| rustix::fs::statvfs(path).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
    let folder = match ROOMY.get_or_init(|| free_bytes(MEMORY) >= SCRATCH_BYTES_MIN) {
        true => MEMORY,
        false => env!("CARGO_TARGET_TMPDIR"),
    };
    tempfile::tempdir_in(folder).unwrap()
}

/// Makes the user of a Cloud PC a member of a group with a user setting of this frequency.
pub fn add_user_setting(tx: &mut Tx<'_>, id: CloudPcId, frequency: &str) -> Result<(), StoreError> {
    let user = tx.cloud_pc(tenant(), id)?.unwrap().user_id.unwrap();
    let group = GroupId(Uuid::from_u128(0x5e7));
    tx.user_put(&User {
        tenant_id: tenant(),
        id: user,
        user_principal_name: format!("{user}@contoso.test"),
        display_name: String::new(),
        password_hash: None,
        roles: Vec::new(),
        permissions: Vec::new(),
        enabled: true,
        profile: UserProfile::default(),
        created_at: Some(START),
    })?;
    tx.group_put(&Group {
        tenant_id: tenant(),
        id: group,
        display_name: "Settings".into(),
        description: None,
        mail_nickname: "settings".into(),
        mail_enabled: false,
        security_enabled: true,
        created_at: START,
    })?;
    tx.group_member_insert(tenant(), group, user, START)?;
    let document = |key: DocumentKey, body: serde_json::Value| Document {
        tenant_id: tenant(),
        key,
        revision: 1,
        body: body.as_object().unwrap().clone(),
        status: Object::new(),
        secret_counts: Object::new(),
        created_at: START,
        modified_at: START,
    };
    let setting = DocumentKey::new(DocumentType::CloudPcUserSetting, "setting");
    if tx.document(tenant(), &setting)?.is_some() {
        return Ok(());
    }
    let body = json!({"displayName": "Setting", "restorePointSetting": {"frequencyType": frequency}});
    tx.document_insert(&document(setting, body), &DocumentIndex::default())?.unwrap();
    let key = DocumentKey::within(DocumentType::CloudPcUserSettingAssignment, "setting", "assignment");
    let body = json!({"target": {"groupId": group.to_string()}});
    tx.document_insert(&document(key, body), &DocumentIndex::default())?.unwrap();
    Ok(())
}
