//! Remote sessions: who is connected to a Cloud PC, and what changes when they sign out.
//!
//! A shared Cloud PC is its user's while they are connected, and is made ready for the next user
//! afterwards. Another frontline Cloud PC is stopped when its user signs out, and its licence is
//! released.

use cloudpc_model::{
    Action, AuditEntry, CloudPc, CloudPcId, CloudPcStatus, DocumentType, Error, ErrorKind, GroupId, Params, Power,
    Product, RemoteSession, TenantId, Timestamp, UserId,
};
use cloudpc_store::{Reader, StoreError, Tx};

use crate::Engine;
use crate::ledger::RequestContext;
use crate::policy::{resets_after_session, sharing_group};
use crate::request::{Stamp, accept_unchecked, find};

impl Engine {
    /// Records that somebody is connected to a Cloud PC. A shared Cloud PC becomes that of the
    /// `user`; without one, its user stays. `entry` goes to the audit log. Returns the session's
    /// number.
    ///
    /// # Errors
    /// Not found; conflict (`sharedCloudPcNotFree`, `sharedCloudPcHeld`); forbidden: the user is
    /// not a member of the group that shares the Cloud PC.
    pub async fn begin_session(
        &self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        user: Option<UserId>,
        session: RemoteSession,
        entry: Option<AuditEntry>,
    ) -> Result<i64, Error> {
        let begun = self.parts.store.write("session.begin", move |tx| {
            let mut cloud_pc = find(tx, tenant, cloud_pc)?;
            if let Some(user) = user.filter(|_| cloud_pc.is_shared()) {
                take(tx, &mut cloud_pc, user, session.signed_in_at)?;
            }
            if let Some(entry) = &entry {
                tx.audit_insert(entry)?;
            }
            Ok::<_, Error>(tx.remote_session_insert(tenant, cloud_pc.id, &session)?)
        });
        begun.await
    }

    /// Records that a session has ended. If it was the last one of the Cloud PC's user, the Cloud
    /// PC is released.
    ///
    /// # Errors
    /// The store fails.
    pub async fn end_session(
        &self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        session: i64,
        user_principal_name: String,
    ) -> Result<(), StoreError> {
        let stamp = self.stamp();
        let ended = self.parts.store.write("session.end", move |tx| {
            tx.remote_session_end(tenant, cloud_pc, session, stamp.at)?;
            after_sign_out(tx, tenant, cloud_pc, &user_principal_name, stamp)
        });
        ended.await?;
        self.work.wake.notify_one();
        Ok(())
    }

    /// Ends the open sessions of a Cloud PC because its user has signed out, and writes `entry` to
    /// the audit log. A frontline Cloud PC is released. Returns the number of sessions; without
    /// one, nothing is done.
    ///
    /// # Errors
    /// The store fails.
    pub async fn sign_out(
        &self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        entry: AuditEntry,
    ) -> Result<usize, StoreError> {
        let stamp = self.stamp();
        let written = self.parts.store.write("session.signOut", move |tx| {
            let ended = tx.remote_sessions_end(tenant, cloud_pc, stamp.at)?;
            if ended > 0 {
                tx.audit_insert(&entry)?;
                if let Some(cloud_pc) = tx.cloud_pc(tenant, cloud_pc)? {
                    park(tx, cloud_pc, stamp)?;
                }
            }
            Ok::<_, StoreError>(ended)
        });
        let ended = written.await?;
        self.work.wake.notify_one();
        Ok(ended)
    }
}

/// Ends the sessions that an earlier process left open, and releases their Cloud PCs. `tag_nonce`
/// is random.
///
/// # Errors
/// The store fails.
pub fn end_watched_sessions(tx: &mut Tx<'_>, tag_nonce: u64, now: Timestamp) -> Result<(), StoreError> {
    let stamp = Stamp { at: now, tag_nonce };
    for (tenant, cloud_pc, user_principal_name) in tx.remote_sessions_end_watched()? {
        after_sign_out(tx, tenant, cloud_pc, &user_principal_name, stamp)?;
    }
    Ok(())
}

/// Releases a Cloud PC if its user is no longer connected. Somebody else who was connected, such
/// as an administrator, leaves it as it is.
fn after_sign_out(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    cloud_pc: CloudPcId,
    user_principal_name: &str,
    stamp: Stamp,
) -> Result<(), StoreError> {
    let Some(cloud_pc) = tx.cloud_pc(tenant, cloud_pc)? else { return Ok(()) };
    let is_user = cloud_pc.user_principal_name.eq_ignore_ascii_case(user_principal_name);
    if !is_user || tx.remote_session_is_open(tenant, cloud_pc.id, user_principal_name)? {
        return Ok(());
    }
    park(tx, cloud_pc, stamp)
}

/// Releases a Cloud PC whose user has signed out. A shared one is made ready for the next user. A
/// frontline one of a single user that is active is stopped, and its licence released; if another
/// action is open, only the licence is released.
fn park(tx: &mut Tx<'_>, mut cloud_pc: CloudPc, stamp: Stamp) -> Result<(), StoreError> {
    let (tenant, id) = (cloud_pc.tenant_id, cloud_pc.id);
    if cloud_pc.is_shared() {
        if cloud_pc.user_id.is_some() {
            release(tx, &mut cloud_pc, stamp)?;
            tx.cloud_pc_update(&cloud_pc)?;
        }
        return Ok(());
    }
    if cloud_pc.product != Product::Frontline || tx.frontline_activation(tenant, id)?.is_none() {
        return Ok(());
    }
    tx.frontline_activation_delete(tenant, id)?;
    if tx.action_open_remote(tenant, &id.to_string())?.is_none() {
        let system = RequestContext::system(tenant);
        accept_unchecked(tx, &system, &cloud_pc, Params::PowerOff, stamp)?;
    }
    Ok(())
}

/// Gives a shared Cloud PC to a user who connects.
fn take(tx: &mut Tx<'_>, cloud_pc: &mut CloudPc, user: UserId, now: Timestamp) -> Result<(), Error> {
    if cloud_pc.user_id == Some(user) {
        return Ok(());
    }
    let tenant = cloud_pc.tenant_id;
    let group = sharing_group(tx, cloud_pc)?;
    if !is_member(tx, tenant, group, user)? {
        let message = "The user is not a member of the group that shares this Cloud PC. Add the user to the group.";
        return Err(Error::new(ErrorKind::Forbidden, "notMemberOfGroup", message));
    }
    if !cloud_pc.is_free() {
        let message = "The shared Cloud PC has a user, or is not ready for one. List the user's Cloud PCs again: a free one is among them.";
        return Err(Error::new(ErrorKind::Conflict, "sharedCloudPcNotFree", message));
    }
    for held in tx.cloud_pc_list(tenant, Some(user), None, usize::MAX)? {
        if held.is_shared() && is_of_same_assignment(tx, &held, cloud_pc)? {
            let message = format!(
                "The user is connected to '{}' of the same group. Sign out of it, then retry.",
                held.display_name
            );
            return Err(Error::new(ErrorKind::Conflict, "sharedCloudPcHeld", message));
        }
    }
    let found = tx.user(tenant, user)?.ok_or_else(|| Error::not_found(format!("There is no user '{user}'.")))?;
    cloud_pc.user_id = Some(user);
    cloud_pc.user_principal_name = found.user_principal_name;
    cloud_pc.session_started_at = Some(now);
    cloud_pc.modified_at = now;
    Ok(tx.cloud_pc_update(cloud_pc)?)
}

fn is_member(reader: &Reader<'_>, tenant: TenantId, group: Option<GroupId>, user: UserId) -> Result<bool, StoreError> {
    match group {
        Some(group) => Ok(reader.group_member_since(tenant, group, user)?.is_some()),
        None => Ok(false),
    }
}

fn is_of_same_assignment(reader: &Reader<'_>, one: &CloudPc, other: &CloudPc) -> Result<bool, StoreError> {
    let of = |cloud_pc: &CloudPc| {
        let found = reader.entitlement(cloud_pc.tenant_id, cloud_pc.id)?;
        Ok::<_, StoreError>(found.map(|found| (found.policy_id, found.assignment_id)))
    };
    Ok(of(one)? == of(other)?)
}

/// Takes a shared Cloud PC from its user, and accepts what makes it ready for the next. The caller
/// stores the Cloud PC.
pub(crate) fn release(tx: &mut Tx<'_>, cloud_pc: &mut CloudPc, stamp: Stamp) -> Result<(), StoreError> {
    cloud_pc.user_id = None;
    cloud_pc.user_principal_name.clear();
    cloud_pc.session_started_at = None;
    cloud_pc.modified_at = stamp.at;
    if cloud_pc.status == CloudPcStatus::Deprovisioning {
        return Ok(());
    }
    let reset = resets_after_session(tx, cloud_pc.tenant_id, &cloud_pc.provisioning_policy_id)?;
    prepare(tx, cloud_pc, reset, stamp)
}

/// Accepts what makes a shared Cloud PC ready for its next user. The caller stores the Cloud PC.
pub(crate) fn prepare(tx: &mut Tx<'_>, cloud_pc: &mut CloudPc, reset: bool, stamp: Stamp) -> Result<(), StoreError> {
    use CloudPcStatus::{Failed, InGracePeriod, Provisioned, ProvisionedWithWarnings};
    // Its user may have shut it down from inside.
    if tx.frontline_activation(cloud_pc.tenant_id, cloud_pc.id)?.is_some() {
        cloud_pc.power_intended = Power::Running;
    }
    if let Provisioned | ProvisionedWithWarnings | InGracePeriod | Failed = cloud_pc.status {
        let is_failed = cloud_pc.status == Failed;
        cloud_pc.status_before = Some(if is_failed { Provisioned } else { cloud_pc.status });
        cloud_pc.status_detail = cloud_pc.status_detail.take().filter(|_| !is_failed);
        cloud_pc.status = CloudPcStatus::Preparing;
        cloud_pc.modified_at = stamp.at;
    }
    let system = RequestContext::system(cloud_pc.tenant_id);
    accept_unchecked(tx, &system, cloud_pc, Params::Prepare { reset }, stamp).map(drop)
}

/// Accepts what makes a shared Cloud PC ready for its first user, after its provisioning.
pub(crate) fn prepare_new(
    tx: &mut Tx<'_>,
    cloud_pc: &mut CloudPc,
    provisioning: &Action,
    now: Timestamp,
) -> Result<(), StoreError> {
    prepare(tx, cloud_pc, false, Stamp::following(provisioning, now))
}

/// Ends the session of a user on shared Cloud PCs of groups that the user has left.
pub(crate) fn end_of_former_member(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    user: UserId,
    stamp: Stamp,
) -> Result<(), StoreError> {
    for mut cloud_pc in tx.cloud_pc_list(tenant, Some(user), None, usize::MAX)? {
        // Without its assignment, the Cloud PC is in its grace period and stays usable.
        let group = if cloud_pc.is_shared() { sharing_group(tx, &cloud_pc)? } else { None };
        if group.is_some() && !is_member(tx, tenant, group, user)? {
            tx.remote_sessions_end(tenant, cloud_pc.id, stamp.at)?;
            release(tx, &mut cloud_pc, stamp)?;
            tx.cloud_pc_update(&cloud_pc)?;
        }
    }
    Ok(())
}

/// Returns the shared Cloud PCs that a user would be connected to: a free one of each assignment to
/// a group of the user, unless the user has one of it. It stays the same until somebody else takes
/// it, and users get different ones as far as possible.
///
/// # Errors
/// The store fails.
pub fn offered_cloud_pcs(reader: &Reader<'_>, tenant: TenantId, user: UserId) -> Result<Vec<CloudPc>, StoreError> {
    if !reader.shared_entitlement_exists(tenant)? {
        return Ok(Vec::new());
    }
    let groups: Vec<GroupId> = reader.user_groups(tenant, user)?.into_iter().map(|group| group.id).collect();
    let kind = DocumentType::CloudPcProvisioningPolicyAssignment;
    let mut offered = Vec::new();
    for assignment in reader.document_assignments(tenant, kind, &groups)? {
        let all = reader.shared_cloud_pcs(tenant, &assignment.key.parent, &assignment.key.id, user)?;
        if !all.iter().any(|cloud_pc| cloud_pc.user_id == Some(user)) {
            offered.extend(all.into_iter().filter(CloudPc::is_free).min_by_key(|cloud_pc| spread(user, cloud_pc.id)));
        }
    }
    Ok(offered)
}

/// Returns a number by which Cloud PCs are in another order for each user.
fn spread(user: UserId, cloud_pc: CloudPcId) -> (u128, CloudPcId) {
    let mixed = (user.0.as_u128() ^ cloud_pc.0.as_u128()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    ((mixed ^ (mixed >> 64)).wrapping_mul(0xd6e8_feb8_6659_fd93), cloud_pc)
}
