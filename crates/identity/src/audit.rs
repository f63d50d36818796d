//! Audit rows of sign-ins, in a bounded number that anonymous clients cannot inflate.
//!
//! Each success has a row. The first failures of a user or application have a row each; after that,
//! only every doubling of their number has one, with the number. The failures of a tenant together
//! are bounded in the same way. The first failure of an existing user or application and every
//! doubling of their number are exempt from the tenant's bound, so that failures of one do not hide
//! those of another.

use cloudpc_model::{
    Actor, ActorKind, AppId, AuditEntry, AuditResource, AuditResult, AuditVerb, ResourceType, TenantId, Timestamp,
};
use cloudpc_store::{Application, SignInCounter, StoreError, Tx, User};
use std::time::Duration;

use super::attempts::subject;
use crate::request::Peer;

/// Window in which failures are counted.
pub(super) const FAILURES_WINDOW: Duration = Duration::from_hours(24);
/// Number of failures of a user or application within [`FAILURES_WINDOW`] that have a row each.
pub(super) const FAILURE_ROWS_MAX: u64 = 10;
/// Number of failure rows of a tenant within [`FAILURES_WINDOW`] before only every doubling has
/// one. First failures of an existing user or application and doublings of their number do not
/// count.
pub(super) const TENANT_FAILURE_ROWS_MAX: u64 = 1_000;

/// The request of a sign-in.
#[derive(Clone, Debug)]
pub(super) struct SignInSource {
    pub(super) peer: Peer,
    pub(super) request_id: String,
    pub(super) at: Timestamp,
}

/// The principal that a sign-in names, verified or not.
#[derive(Clone, Copy)]
pub(super) enum Principal<'a> {
    User(&'a User),
    App(&'a Application),
    /// An unknown user. The name is not stored, because people type passwords there by mistake.
    UnknownUser,
    UnknownApp,
}

impl SignInSource {
    /// Records a successful sign-in of `user` to a client.
    pub(super) fn succeeded(
        &self,
        tx: &mut Tx<'_>,
        user: &User,
        client: AppId,
        client_name: &str,
    ) -> Result<(), StoreError> {
        let actor = Actor {
            kind: ActorKind::User,
            app_id: Some(client),
            app_name: client_name.to_owned(),
            user_id: Some(user.id),
            user_principal_name: user.user_principal_name.clone(),
            ip_address: Some(self.peer.0),
        };
        tx.audit_insert(&self.entry(user.tenant_id, Principal::User(user), actor))
    }

    /// Records a failed sign-in. `tenant` is none if it is unknown.
    pub(super) fn failed(
        &self,
        tx: &mut Tx<'_>,
        tenant: Option<TenantId>,
        principal: Principal<'_>,
        error_code: &str,
    ) -> Result<(), StoreError> {
        let tenant = tenant.unwrap_or(TenantId::INSTALLATION);
        let id = principal.id();
        let failures = tx.sign_in_count_add(&counter(tenant, &["failures", principal.kind().name(), &id]), self.at)?;
        if !has_row(failures, FAILURE_ROWS_MAX) {
            return Ok(());
        }
        let is_exempt = principal.is_known() && failures.is_power_of_two();
        if !is_exempt && !self.tenant_has_row(tx, tenant)? {
            return Ok(());
        }
        let actor = Actor { ip_address: Some(self.peer.0), ..principal.unproven() };
        let entry = self.entry(tenant, principal, actor).ended(AuditResult::ClientError, Some(error_code));
        tx.audit_insert(&entry.detail("failuresInLastDay", &failures.to_string()))
    }

    /// Counts a failure of the tenant, and returns whether the tenant's bound allows a row for it.
    fn tenant_has_row(&self, tx: &mut Tx<'_>, tenant: TenantId) -> Result<bool, StoreError> {
        let rows = tx.sign_in_count_add(&counter(tenant, &["failure rows"]), self.at)?;
        if rows == TENANT_FAILURE_ROWS_MAX + 1 {
            tracing::warn!(
                %tenant,
                peer = %self.peer.0,
                "{TENANT_FAILURE_ROWS_MAX} failed sign-ins of the tenant were audited within 24 hours; until they end, \
            only the first failure of each user and application and every doubling of their number is audited"
            );
        }
        Ok(has_row(rows, TENANT_FAILURE_ROWS_MAX))
    }

    fn entry(&self, tenant: TenantId, principal: Principal<'_>, actor: Actor) -> AuditEntry {
        let resource = AuditResource::new(principal.kind(), principal.id()).named(principal.name());
        AuditEntry::new(tenant, self.at, actor, AuditVerb::SignIn, resource).by_request(&self.request_id)
    }
}

impl Principal<'_> {
    fn is_known(self) -> bool {
        matches!(self, Self::User(_) | Self::App(_))
    }

    fn kind(self) -> ResourceType {
        match self {
            Self::User(_) | Self::UnknownUser => ResourceType::User,
            Self::App(_) | Self::UnknownApp => ResourceType::Application,
        }
    }

    /// Returns the id; empty if the principal is unknown.
    fn id(self) -> String {
        match self {
            Self::User(user) => user.id.to_string(),
            Self::App(app) => app.id.to_string(),
            Self::UnknownUser | Self::UnknownApp => String::new(),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::User(user) => &user.user_principal_name,
            Self::App(app) => &app.name,
            Self::UnknownUser | Self::UnknownApp => "",
        }
    }

    /// Returns an actor that claims to be this principal without proof.
    fn unproven(self) -> Actor {
        Actor {
            kind: match self.kind() {
                ResourceType::Application => ActorKind::Application,
                _ => ActorKind::User,
            },
            app_id: None,
            app_name: String::new(),
            user_id: None,
            user_principal_name: String::new(),
            ip_address: None,
        }
    }
}

fn counter(tenant: TenantId, parts: &[&str]) -> SignInCounter {
    SignInCounter { tenant_id: Some(tenant), subject: subject(parts), window: FAILURES_WINDOW }
}

/// Whether the event with this number has a row: each event up to `each_max`, then every doubling.
fn has_row(number: u64, each_max: u64) -> bool {
    number <= each_max || number.is_power_of_two()
}
