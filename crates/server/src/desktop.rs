//! Desktops: the screen of a machine, in a browser.
//!
//! ```text
//! an operation of Graph ── issues a ticket ──► its URL is opened in a browser
//! page      uses the ticket up, gives the browser a key for one WebSocket
//! bridge    uses the key up, carries bytes between the WebSocket and the machine's screen
//! ```
//!
//! A ticket, a key and an open desktop are never worth more than the permissions of the caller who
//! asked for them: these are checked again at each stage, and while the desktop is open. Nothing
//! here knows how a screen is reached.

mod bridge;
mod page;
mod places;
mod rfb;
mod tickets;

use axum::Router;
use cloudpc_drivers::{Display, DriverError};
use cloudpc_graph::resolve::Scope;
use cloudpc_model::{Clock, CloudPc, CloudPcId, Rng, UserId};
use cloudpc_store::Store;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::caller::Caller;
use crate::config::Fidelity;
use crate::pipeline::{READ_SIGNED_IN, WRITE, access};

pub use bridge::{MESSAGE_BYTES_MAX, PING_INTERVAL, RIGHTS_AGE_MAX, SILENCE_MAX};
pub use places::{
    BRIDGES_MAX, CALLER_BRIDGES_MAX, CALLER_MACHINE_BRIDGES_MAX, MACHINE_BRIDGES_MAX, MACHINE_VIEWERS_MAX,
    TENANT_BRIDGES_MAX,
};
pub use rfb::ENCODINGS_MAX;
pub use tickets::{CALLER_TICKETS_MAX, TENANT_TICKETS_MAX, TICKET_TIME_MAX, TicketError, Tickets};

use places::{DesktopPlaces, Holder};

/// What a ticket admits to: one machine of the caller's tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesktopAdmission {
    /// Who asked, and with what permissions.
    pub caller: Caller,
    /// The machine.
    pub cloud_pc_id: CloudPcId,
    /// Whose the machine has to be; none: anyone's.
    pub owner: Option<UserId>,
    /// Whether the machine may only be looked at.
    pub view_only: bool,
}

/// Where a page keeps its key. Each page's cookie is sent to that page's WebSocket only.
const COOKIE: &str = "cloudpc-desktop";

/// The desktops of a server.
pub struct Desktops {
    /// Tickets whose pages have not been opened yet, and keys whose pages have not connected yet.
    pub tickets: Tickets,
    /// Places for bridges.
    places: Arc<DesktopPlaces>,
    /// Bridges that are open.
    bridges: TaskTracker,
    /// The service stops.
    stop: CancellationToken,
    /// The folder in which noVNC is installed.
    novnc: PathBuf,
}

impl Desktops {
    /// The desktops of a server. `clock` is the host's, by which tickets expire.
    pub fn new(store: &Store, clock: &Arc<dyn Clock>, rng: &Arc<dyn Rng>, novnc: PathBuf) -> Self {
        Self {
            tickets: Tickets::new(store.clone(), Arc::clone(clock), Arc::clone(rng)),
            places: Arc::default(),
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

/// Whether a caller may type and point on a machine: their own, or any if they may write.
pub(crate) fn may_control(caller: &Caller, cloud_pc: &CloudPc, scope: &Scope, fidelity: Fidelity) -> bool {
    caller.user.as_ref().is_some_and(|user| user.id == cloud_pc.user_id)
        || access::check(&WRITE, caller, scope, fidelity).is_ok()
}

/// Why there is no way in.
enum OpenError {
    /// The machine is not there any more, or is somebody else's by now.
    Gone,
    /// The caller has lost the permission that the ticket was issued for.
    Withdrawn,
    /// The store does not answer.
    Store,
    /// The machine shows nothing.
    Driver(DriverError),
}

/// What a ticket, key or bridge is worth now.
struct DesktopEntry {
    /// The display name of the machine.
    name: String,
    view_only: bool,
}

impl DesktopAdmission {
    fn holder(&self, view_only: bool) -> Holder {
        let Caller { tenant_id, .. } = self.caller;
        Holder { tenant_id, caller: self.caller.share_key(), cloud_pc_id: self.cloud_pc_id, view_only }
    }
}

/// Checks what an admission is worth now: its caller may have lost permissions, its machine may
/// have been deleted or given to another user. It never becomes worth more.
async fn check(app: &App, admission: &DesktopAdmission) -> Result<DesktopEntry, OpenError> {
    let caller = app.identity.recheck(&admission.caller).await.map_err(|error| match error.status {
        401 => OpenError::Withdrawn,
        _ => OpenError::Store,
    })?;
    // What the path was below decides what an application may do.
    let scope = if admission.owner.is_some() { Scope::Me } else { Scope::Tenant };
    access::check(&READ_SIGNED_IN, &caller, &scope, app.fidelity).map_err(|_| OpenError::Withdrawn)?;
    let (tenant_id, cloud_pc_id) = (caller.tenant_id, admission.cloud_pc_id);
    let cloud_pc = app.store.read(move |reader| reader.cloud_pc(tenant_id, cloud_pc_id)).await;
    let cloud_pc = cloud_pc.map_err(|_| OpenError::Store)?.ok_or(OpenError::Gone)?;
    if admission.owner.is_some_and(|owner| owner != cloud_pc.user_id) {
        return Err(OpenError::Gone);
    }
    let view_only = admission.view_only || !may_control(&caller, &cloud_pc, &scope, app.fidelity);
    Ok(DesktopEntry { name: cloud_pc.display_name, view_only })
}

/// The screen of the machine.
async fn display(app: &App, admission: &DesktopAdmission) -> Result<Box<dyn Display>, OpenError> {
    app.driver.display(admission.cloud_pc_id).await.map_err(OpenError::Driver)
}
