//! Test data: a simulated fleet and its deployment results, written with the same store methods as
//! the engine uses.
//!
//! The data is kept between runs, because creating a million results takes a while.

use cloudpc_model::{
    ActionId, ActivityId, Actor, AgentSetting, AppId, CloudPc, Event, EventKind, Params, PartnerId, SeededRng, State,
    TenantId, Timestamp,
};
use cloudpc_server::views::partner::{DEPLOYMENT_FORMAT, finished_page};
use cloudpc_store::{Advance, NewAction, Store, StoreError, Tx, WriteMode};
use indicatif::ProgressBar;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

use crate::BenchError;
use crate::server::{Server, Serving};

/// Partner with all the results, in URLs.
pub const PARTNER: &str = "fab00000-0000-4000-8000-000000000001";
/// Partner with open deployments, in URLs.
pub const PARTNER_BUSY: &str = "fab00000-0000-4000-8000-000000000002";
/// Completed remote actions of the first Cloud PC.
pub const HISTORY: u64 = 100;
/// Cloud PCs per deployment call.
const ACTIVITY_TARGETS: u64 = 50;
/// Deployment calls per transaction.
const ACTIVITIES_AT_ONCE: u64 = 100;

/// Tenant of all the data.
pub const TENANT: TenantId = TenantId(Uuid::from_u128(0xc0de_0000_0000_4000_8000_0000_0000_bec4));
/// Application for tokens.
pub const APP: AppId = AppId(Uuid::from_u128(0xc0de_0000_0000_4000_8000_0000_0000_bec5));
/// Time of everything in the data: 2026-03-01T12:00:00Z.
const THEN: Timestamp = Timestamp(1_772_366_400_000_000);
/// Version of the data; incremented when this module creates different data.
const FORMAT: u32 = 2;

/// Returns the data directory with these numbers of Cloud PCs and results, creating it if it does
/// not exist.
pub async fn prepare(
    directory: &Path,
    machines: u64,
    rows: u64,
    progress: &ProgressBar,
) -> Result<PathBuf, BenchError> {
    let data = directory.join(format!("{machines}-machines-{rows}-rows"));
    let (mark, recipe) = (data.join("made-by-bench"), format!("format {FORMAT}, pages {DEPLOYMENT_FORMAT}\n"));
    if fs::read_to_string(&mark).is_ok_and(|found| found == recipe) {
        return Ok(data);
    }
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    fs::create_dir_all(&data)?;
    progress.set_message(format!("a fleet of {machines} Cloud PCs"));
    let scenario = directory.join("scenario.toml");
    fs::write(&scenario, fleet(machines))?;
    Server::start(&data, Some(&scenario), Serving::Alone).await?.stop()?;
    progress.set_message(format!("{rows} deployment results"));
    progress.set_length(rows);
    let store = Store::open(&data, WriteMode::Inline)?;
    fill(&store, rows, progress).await?;
    store.deployment_pages_finish(DEPLOYMENT_FORMAT, finished_page).await?;
    drop(store);
    fs::write(mark, recipe)?;
    Ok(data)
}

/// Copies the fleet without results; the copy may be changed.
pub async fn copy_without_results(
    directory: &Path,
    machines: u64,
    progress: &ProgressBar,
) -> Result<PathBuf, BenchError> {
    let (source, copy) = (prepare(directory, machines, 0, progress).await?, directory.join("changed"));
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    copy_directory(&source, &copy)?;
    Ok(copy)
}

fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_directory(&from, &to)?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// Returns how many Cloud PCs are named `desk-001` and so on, with as many digits as this number
/// has.
pub fn numbered(machines: u64) -> u64 {
    machines - pilots(machines)
}

/// Returns how many Cloud PCs have the policy `Pilot`; one in a thousand.
fn pilots(machines: u64) -> u64 {
    (machines / 1_000).max(1)
}

/// Returns a scenario in which every Cloud PC is healthy and both partners have an agent.
pub fn fleet(machines: u64) -> String {
    let (numbered, pilots) = (numbered(machines), pilots(machines));
    let partner = |id: &str| {
        format!(
            r#"{{ id = "{id}", partner_id = "{id}", enable_connection = true, allowed_urls = ["https://agents.fabrikam.test/"], agent = {{ url = "https://agents.fabrikam.test/agent.msi", sha256 = "{}", install_parameters = ["/quiet"] }} }}"#,
            "ab".repeat(32)
        )
    };
    format!(
        r#"
[[tenants]]
id = "{TENANT}"
name = "Bench"
domain = "bench.test"
users = [{{ name = "ada", display_name = "Ada Lovelace" }}]
service_plans = [{{ name = "small", vcpu_count = 2, ram_gib = 8, storage_gib = 128, product = "business" }}]
gallery_images = [{{ id = "publisher_offer_win11", name = "Windows 11", size_gib = 64, os_version = "windows11" }}]
fleets = [
    {{ count = {numbered}, name = "desk-{{number}}", service_plans = ["small"], provisioning_policy = "Everyone" }},
    {{ count = {pilots}, name = "desk-pilot-{{number}}", service_plans = ["small"], provisioning_policy = "Pilot" }},
]
partners = [{}, {}]
"#,
        partner(PARTNER),
        partner(PARTNER_BUSY)
    )
}

async fn fill(store: &Store, rows: u64, progress: &ProgressBar) -> Result<(), BenchError> {
    let fleet = Arc::new(store.read(|reader| reader.cloud_pc_list(TENANT, None, None, 1_000)).await?);
    let first = Arc::clone(&fleet);
    store.write("bench.history", move |tx| history(tx, &first)).await?;
    let chance = SeededRng::new(1);
    let partner: PartnerId = PARTNER.parse()?;
    let mut written = 0;
    while written < rows {
        let fleet = Arc::clone(&fleet);
        let activities: Vec<_> = (0..ACTIVITIES_AT_ONCE).map(|_| ActivityId::random(&chance)).collect();
        let in_one = move |tx: &mut Tx<'_>| {
            let mut done = 0;
            for (activity, activity_id) in (0..).zip(&activities) {
                let count = ACTIVITY_TARGETS.min(rows - written - done);
                let begin = (written / ACTIVITY_TARGETS + activity) * ACTIVITY_TARGETS;
                let agent = AgentSetting {
                    url: "https://agents.fabrikam.test/agent.msi".into(),
                    sha256: "ab".repeat(32),
                    install_parameters: vec!["/quiet".into()],
                    auto_deploy: false,
                    detection: None,
                };
                let params = Params::DeployAgent { partner_id: partner, activity_id: *activity_id, agent };
                for number in begin..begin + count {
                    accept(tx, &fleet[usize::try_from(number).unwrap_or(0) % fleet.len()], params.clone())?;
                }
                succeed_all(tx)?;
                done += count;
            }
            Ok::<_, StoreError>(done)
        };
        written += store.write("bench.fill", in_one).await?;
        progress.set_position(written);
    }
    Ok(())
}

/// Adds completed reboots to the first Cloud PC.
fn history(tx: &mut Tx<'_>, fleet: &[CloudPc]) -> Result<(), StoreError> {
    let Some(cloud_pc) = fleet.first() else { return Ok(()) };
    for _ in 0..HISTORY {
        accept(tx, cloud_pc, Params::Reboot)?;
        succeed_all(tx)?;
    }
    Ok(())
}

fn accept(tx: &mut Tx<'_>, cloud_pc: &CloudPc, params: Params) -> Result<ActionId, StoreError> {
    tx.action_insert(&NewAction {
        tenant_id: TENANT,
        target: cloud_pc.id.to_string(),
        params,
        requested_by: Actor::system(),
        bulk_action_id: None,
        requested_at: THEN,
        deadline_at: THEN + Duration::from_hours(1),
        tag_nonce: 1,
        idempotency_key: None,
    })
}

/// Completes every open action successfully.
fn succeed_all(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let worker = tx.worker_insert(THEN + Duration::from_mins(1))?;
    let end = THEN + Duration::from_secs(30);
    for mut action in tx.action_claimable(THEN, usize::MAX)? {
        let claimed = Event { at: THEN, epoch: action.epoch + 1, kind: EventKind::Claimed };
        action.apply(&claimed)?;
        let (id, epoch) = (action.id, action.epoch);
        tx.action_claim(&Advance { action: Arc::new(action), events: vec![claimed], power: None }, worker)?;
        tx.action_append(id, epoch, end, EventKind::Finished { outcome: State::Done, failure: None })?;
    }
    Ok(())
}
