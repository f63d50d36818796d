//! Cost of checking a token: a new one, and one that was verified before.

use cloudpc_drivers::{SystemClock, SystemRng};
use cloudpc_server::identity::{Identity, IdentityDependencies};
use cloudpc_server::request::BaseAddress;
use cloudpc_store::{Application, Store, WriteMode};
use http::{HeaderMap, header};
use indicatif::ProgressBar;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use crate::load::as_f64;
use crate::report::{Row, median, within};
use crate::{BenchError, Plan, data};

/// Goal for a token that was verified before, microseconds.
const KNOWN_GOAL_US: f64 = 3.5;
/// Goal for a new token, microseconds.
const NEW_GOAL_US: f64 = 50.0;
/// Checks of known tokens per new one: the system counts a thread's time in milliseconds.
const KNOWN_FOR_ONE_NEW: u64 = 100;

/// Measures the token check in isolation, on this thread.
pub async fn measure(plan: &Plan, progress: &ProgressBar) -> Result<Vec<Row>, BenchError> {
    progress.set_message("tokens");
    let directory = plan.directory.join("tokens");
    fs::create_dir_all(&directory)?;
    let store = Store::open(&directory, WriteMode::Inline)?;
    let app = Application {
        tenant_id: data::TENANT,
        id: data::APP,
        name: "Bench".into(),
        secret_hash: None,
        permissions: vec!["CloudPC.ReadWrite.All".into()],
        enabled: true,
    };
    store
        .write("bench.token", move |tx| {
            tx.tenant_put(data::TENANT, "Bench")?;
            tx.app_put(&app)
        })
        .await?;
    let parts = IdentityDependencies {
        store,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        names: vec!["localhost".into()],
        issuers: Vec::new(),
        well_known_clients: true,
        page_address: None,
    };
    let identity = Identity::open(parts).await?;
    let base = BaseAddress("http://localhost".into());
    let token = identity.issue_for_app(&base, data::TENANT, data::APP).await?.token;
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse()?)]);

    let (mut known, mut new) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let spent = processor_time()?;
        for _ in 0..plan.requests {
            identity.forget_verified();
            identity.authenticate(&headers).await.map_err(|error| error.to_string())?;
        }
        let between = processor_time()?;
        for _ in 0..plan.requests * KNOWN_FOR_ONE_NEW {
            identity.authenticate(&headers).await.map_err(|error| error.to_string())?;
        }
        let each = |spent: Duration, of: u64| spent.as_secs_f64() * 1e6 / as_f64(of);
        new.push(each(between - spent, plan.requests));
        known.push(each(processor_time()? - between, plan.requests * KNOWN_FOR_ONE_NEW));
    }
    let us = |us: f64| format!("{us:.2} µs");
    Ok(vec![
        within("a token seen for the first time".into(), median(new), NEW_GOAL_US, us),
        within("a token verified before".into(), median(known), KNOWN_GOAL_US, us),
    ])
}

/// Returns the processor time of this thread.
fn processor_time() -> Result<Duration, BenchError> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split_whitespace().next().unwrap_or_default().parse()?))
}
