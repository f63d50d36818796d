//! Audit rows of sign-ins, in a number that strangers cannot raise.
//!
//! Each success has a row. Failures of one user or application have a row each at first; after that
//! only every doubling of their number has one, which tells the number. All failures of a tenant
//! together are bounded in the same way, but for the first failure of a user or application that
//! there is, and every doubling of their number: rows about one hide none about another.

use cloudpc_model::{
    Actor, ActorKind, AppId, AuditEntry, AuditResource, AuditResult, AuditVerb, ResourceType, TenantId, Timestamp,
};
use cloudpc_store::{Application, SignInCounter, StoreError, Tx, User};
use std::time::Duration;

use super::attempts::subject;
use crate::request::Peer;

/// How long failures are counted.
pub(super) const FAILURES_WINDOW: Duration = Duration::from_hours(24);
/// Failures of one user or application within [`FAILURES_WINDOW`] that have a row each.
pub(super) const FAILURE_ROWS_MAX: u64 = 10;
/// Rows about failures of one tenant within [`FAILURES_WINDOW`], before only every doubling has
/// one. First failures of a user or application and doublings of their number do not count.
pub(super) const TENANT_FAILURE_ROWS_MAX: u64 = 1_000;

/// The request of a sign-in.
#[derive(Clone, Debug)]
pub(super) struct SignInSource {
    pub(super) peer: Peer,
    pub(super) request_id: String,
    pub(super) at: Timestamp,
}

/// Who signs in, or is said to.
#[derive(Clone, Copy)]
pub(super) enum Principal<'a> {
    User(&'a User),
    App(&'a Application),
    /// A user whom nobody knows. The name is not kept, since people type passwords there by
    /// mistake.
    UnknownUser,
    UnknownApp,
}

impl SignInSource {
    /// Records that `user` has signed in to a client.
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

    /// Records that a sign-in was refused. `tenant`: none if nothing says to which it would have
    /// been.
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
        let in_any_case = principal.is_known() && failures.is_power_of_two();
        if !in_any_case && !self.tenant_has_row(tx, tenant)? {
            return Ok(());
        }
        let actor = Actor { ip_address: Some(self.peer.0), ..principal.unproven() };
        let entry = self.entry(tenant, principal, actor).ended(AuditResult::ClientError, Some(error_code));
        tx.audit_insert(&entry.detail("failuresInLastDay", &failures.to_string()))
    }

    /// Whether the tenant's bound leaves a row for one more failure, which it counts.
    fn tenant_has_row(&self, tx: &mut Tx<'_>, tenant: TenantId) -> Result<bool, StoreError> {
        let rows = tx.sign_in_count_add(&counter(tenant, &["failure rows"]), self.at)?;
        if rows == TENANT_FAILURE_ROWS_MAX + 1 {
            tracing::warn!(
                %tenant,
                peer = %self.peer.0,
                "{TENANT_FAILURE_ROWS_MAX} failed sign-ins of the tenant were audited within a day; until the day is \
                 over, only the first failure of each user and application and every doubling of their number is"
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

    /// Empty if unknown.
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

    /// Someone who says to be it, and has not proved it.
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

/// Whether the event of this number has a row: each one up to `each_max`, then at every doubling.
fn has_row(number: u64, each_max: u64) -> bool {
    number <= each_max || number.is_power_of_two()
}
