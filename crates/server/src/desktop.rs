//! Desktops: the screen of a machine, in a browser.
//!
//! ```text
//! an operation of Graph ── issues a ticket ──► its address is opened in a browser
//! page      uses the ticket up, gives the browser a key for one WebSocket
//! bridge    uses the key up, carries bytes between the WebSocket and the machine's screen
//! ```
//!
//! Who may have a ticket is the operation's business. Nothing here knows how a screen is reached, or what the bytes mean.

mod bridge;
mod page;
mod tickets;

use axum::Router;
use cloudpc_drivers::{Display, DriverError};
use cloudpc_model::{Actor, Clock, CloudPcId, Rng, TenantId, UserId};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;

pub use bridge::{BRIDGES_MAX, MESSAGE_BYTES_MAX, PING_INTERVAL, SILENCE_MAX};
pub use tickets::{TICKET_TIME_MAX, TICKETS_MAX, Tickets};

/// What a ticket admits to: one machine of one tenant, for whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The machine.
    pub cloud_pc_id: CloudPcId,
    /// Whose the machine has to be; none: anyone's.
    pub owner: Option<UserId>,
    /// Who asked.
    pub actor: Actor,
}

/// Where a page keeps its key. Each page's cookie is sent to that page's WebSocket only.
const COOKIE: &str = "cloudpc-desktop";

/// What the key of a page admits to.
struct Key {
    /// The ticket that opened the page, which is in its address.
    ticket: String,
    admission: Admission,
}

/// All that is remembered of desktops.
pub struct Desktops {
    /// Those whose pages have not been opened yet.
    pub tickets: Tickets<Admission>,
    /// Those whose pages have not connected yet. They are tickets too: good once, and not for long.
    keys: Tickets<Key>,
    /// Screens that may be looked at besides those that are.
    places: Arc<Semaphore>,
    /// Bridges that are open.
    bridges: TaskTracker,
    /// The service stops.
    stop: CancellationToken,
    /// The folder in which noVNC is installed.
    novnc: PathBuf,
}

impl Desktops {
    /// None yet.
    pub fn new(clock: &Arc<dyn Clock>, rng: &Arc<dyn Rng>, novnc: PathBuf) -> Self {
        Self {
            tickets: Tickets::new(Arc::clone(clock), Arc::clone(rng)),
            keys: Tickets::new(Arc::clone(clock), Arc::clone(rng)),
            places: Arc::new(Semaphore::new(BRIDGES_MAX)),
            bridges: TaskTracker::new(),
            stop: CancellationToken::new(),
            novnc,
        }
    }

    /// Closes every bridge, and tells the browsers why.
    pub async fn close(&self) {
        self.stop.cancel();
        self.bridges.close();
        self.bridges.wait().await;
    }
}

/// The routes.
pub(crate) fn routes(app: &App) -> Router<App> {
    page::routes(app).merge(bridge::routes())
}

/// Why there is no way in.
enum Closed {
    /// The machine is not there any more, or is somebody else's by now.
    Gone,
    /// The store does not answer.
    Store,
    /// The machine shows nothing.
    Driver(DriverError),
}

/// Goes where a ticket or key admits to: the machine's display name, and its screen.
async fn enter(app: &App, admission: &Admission) -> Result<(String, Box<dyn Display>), Closed> {
    let &Admission { tenant_id, cloud_pc_id, owner, .. } = admission;
    let cloud_pc = app.store.read(move |reader| reader.cloud_pc(tenant_id, cloud_pc_id)).await;
    let cloud_pc = cloud_pc.map_err(|_| Closed::Store)?.ok_or(Closed::Gone)?;
    if owner.is_some_and(|owner| owner != cloud_pc.user_id) {
        return Err(Closed::Gone);
    }
    let display = app.driver.display(cloud_pc_id).await.map_err(Closed::Driver)?;
    Ok((cloud_pc.display_name, display))
}
