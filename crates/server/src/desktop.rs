//! Desktops: the screen of a machine in a browser.
//!
//! ```text
//! an operation of Graph ── issues a ticket ──► its single-use URL is opened in a browser
//! page      redeems the ticket, gives the browser a single-use key for a WebSocket
//! bridge    redeems the key, copies bytes between the WebSocket and the machine's screen
//! ```
//!
//! A ticket, a key and an open desktop never grant more than the permissions of the caller who
//! requested them: the permissions are checked again at each stage, and while the desktop is open.
//! This module refuses to know how a driver connects to a screen.

mod bridge;
mod page;
mod places;
mod rfb;
mod session;
mod tickets;

use axum::Router;
use cloudpc_drivers::{Display, DriverError};
use cloudpc_graph::resolve::Scope;
use cloudpc_identity::AuthenticationError;
use cloudpc_model::{Clock, CloudPc, CloudPcId, Rng, UserId};
use cloudpc_store::{Reader, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::caller::Caller;
use crate::config::Fidelity;
use crate::operations::{is_of, is_restricted};
use crate::pipeline::{READ_SIGNED_IN, WRITE, access};
use crate::rbac::{self, EffectivePermissions};

pub use bridge::{MESSAGE_BYTES_MAX, PING_INTERVAL, RIGHTS_AGE_MAX, SILENCE_MAX};
pub use places::{
    BRIDGES_MAX, CALLER_BRIDGES_MAX, CALLER_MACHINE_BRIDGES_MAX, MACHINE_BRIDGES_MAX, MACHINE_VIEWERS_MAX,
    TENANT_BRIDGES_MAX,
};
pub use rfb::ENCODINGS_MAX;
pub use tickets::{CALLER_TICKETS_MAX, TENANT_TICKETS_MAX, TICKET_TIME_MAX, TicketError, Tickets};

use places::{DesktopPlaces, Holder};

/// The access that a ticket grants: one machine of the caller's tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesktopAdmission {
    /// The caller who requested the ticket, with the permissions at that time.
    pub caller: Caller,
    /// The Cloud PC.
    pub cloud_pc_id: CloudPcId,
    /// The user who must own the Cloud PC; none: any user.
    pub owner: Option<UserId>,
    /// Whether the desktop is view-only.
    pub view_only: bool,
}

/// The cookie that holds a page's key. A browser sends it only to the WebSocket of that page.
const COOKIE: &str = "cloudpc-desktop";

/// The desktops of a server.
pub struct Desktops {
    /// Unused tickets and keys.
    pub tickets: Tickets,
    /// Limits of open bridges.
    places: Arc<DesktopPlaces>,
    /// Open bridges.
    bridges: TaskTracker,
    /// Cancelled when the service shuts down.
    stop: CancellationToken,
    /// The folder in which noVNC is installed.
    novnc: PathBuf,
}

impl Desktops {
    /// Returns the desktops of a server. Tickets expire by `clock`, the host's.
    pub fn new(store: &Store, clock: &Arc<dyn Clock>, rng: &Arc<dyn Rng>, novnc: PathBuf) -> Self {
        Self {
            tickets: Tickets::new(store.clone(), Arc::clone(clock), Arc::clone(rng)),
            places: Arc::default(),
            bridges: TaskTracker::new(),
            stop: CancellationToken::new(),
            novnc,
        }
    }

    /// Closes every bridge with a close code and a reason for the browser.
    pub async fn close(&self) {
        self.stop.cancel();
        self.bridges.close();
        self.bridges.wait().await;
    }
}

/// Returns the routes of pages and bridges.
pub(crate) fn routes(app: &App) -> Router<App> {
    page::routes(app).merge(bridge::routes())
}

/// Whether a caller can control a machine: a user their own, and a caller with write permission
/// any.
pub(crate) fn may_control(caller: &Caller, is_own: bool, scope: &Scope, fidelity: Fidelity) -> bool {
    is_own || access::check(&WRITE, caller, scope, fidelity).is_ok()
}

/// Whether a machine is the caller's own, or a shared one that would be.
pub(crate) fn is_own(reader: &Reader<'_>, caller: &Caller, cloud_pc: &CloudPc) -> Result<bool, StoreError> {
    caller.user.as_ref().map_or(Ok(false), |user| is_of(reader, cloud_pc, user.id))
}

/// Why a desktop cannot be opened.
enum OpenError {
    /// The machine was deleted or assigned to another user.
    Gone,
    /// The shared machine was taken by another user, or is not ready for one.
    Taken(String),
    /// The caller lost the permission that the ticket was issued for.
    Withdrawn,
    /// The caller is the user of a Cloud PC under review with restricted access.
    Restricted,
    /// The store fails.
    Store,
    /// The driver cannot connect to the screen.
    Driver(DriverError),
}

/// Explains a restricted access to the user of a Cloud PC under review.
const RESTRICTED: &str = "This Cloud PC is under review, and its user's access is restricted. Ask an administrator.";

/// The access that a ticket, key or bridge grants now.
struct DesktopEntry {
    /// The display name of the Cloud PC.
    name: String,
    view_only: bool,
}

impl DesktopAdmission {
    fn holder(&self, view_only: bool) -> Holder {
        let Caller { tenant_id, .. } = self.caller;
        Holder { tenant_id, caller: self.caller.share_key(), cloud_pc_id: self.cloud_pc_id, view_only }
    }
}

/// Checks the access that an admission grants now: the caller may have lost permissions, and the
/// machine may have been deleted or assigned to another user. The access never grows.
async fn check(app: &App, admission: &DesktopAdmission) -> Result<DesktopEntry, OpenError> {
    let caller = app.identity.recheck(&admission.caller).await.map_err(|error| match error {
        AuthenticationError::Rejected(_) => OpenError::Withdrawn,
        AuthenticationError::Unavailable(_) => OpenError::Store,
    })?;
    // The scope of the original path decides what an application may do.
    let scope = if admission.owner.is_some() { Scope::Me } else { Scope::Tenant };
    access::check(&READ_SIGNED_IN, &caller, &scope, app.fidelity).map_err(|_| OpenError::Withdrawn)?;
    let (tenant_id, cloud_pc_id) = (caller.tenant_id, admission.cloud_pc_id);
    let (user, owner) = (caller.clone(), admission.owner);
    let read = app.store.read(move |reader| {
        let Some(cloud_pc) = reader.cloud_pc(tenant_id, cloud_pc_id)? else { return Ok(None) };
        if owner.map_or(Ok(false), |owner| is_of(reader, &cloud_pc, owner).map(|is_of| !is_of))? {
            return Ok(None);
        }
        let (is_restricted, is_own) = (is_restricted(reader, &user, &cloud_pc)?, is_own(reader, &user, &cloud_pc)?);
        Ok::<_, StoreError>(Some((cloud_pc, is_restricted, is_own)))
    });
    let (cloud_pc, is_restricted, is_own) = read.await.map_err(|_| OpenError::Store)?.ok_or(OpenError::Gone)?;
    if is_restricted {
        return Err(OpenError::Restricted);
    }
    check_roles(app, &caller, &cloud_pc, admission.owner).await?;
    let view_only = admission.view_only || !may_control(&caller, is_own, &scope, app.fidelity);
    Ok(DesktopEntry { name: cloud_pc.display_name, view_only })
}

/// Checks that the roles of a caller still let them see a machine. A path of one's own Cloud PCs
/// takes none.
async fn check_roles(app: &App, caller: &Caller, cloud_pc: &CloudPc, owner: Option<UserId>) -> Result<(), OpenError> {
    let is_own = owner.is_some() && owner == caller.user.as_ref().map(|user| user.id);
    if is_own || !rbac::is_limited(caller) {
        return Ok(());
    }
    let (request, cloud_pc) = (caller.clone(), cloud_pc.clone());
    let read = move |reader: &Reader<'_>| {
        let permissions = EffectivePermissions::of(reader, &request)?;
        match rbac::check(&permissions, rbac::requirement("cloudPC.retrieveCloudPcLaunchDetail")) {
            Ok(tags) => tags.reaches_cloud_pc(reader, &cloud_pc),
            Err(_) => Ok(false),
        }
    };
    match app.store.read(read).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::Withdrawn),
        Err::<_, StoreError>(_) => Err(OpenError::Store),
    }
}

/// Connects to the screen of the machine.
async fn display(app: &App, admission: &DesktopAdmission) -> Result<Box<dyn Display>, OpenError> {
    app.driver.display(admission.cloud_pc_id).await.map_err(OpenError::Driver)
}
