//! Cloud PCs.

use cloudpc_model::{
    Change, ChangeKind, CloudPc, CloudPcId, EntityType, GroupId, ImageId, ManagedDeviceId, Power, ServicePlanId,
    TenantId, Timestamp, UserId,
};
use uuid::Uuid;

use crate::alerts::is_watched;
use crate::connection::dialect::join_in_order;
use crate::connection::{Row, params};
use crate::lists::{ListColumn, ListTable, NamePart, name_parts};
use crate::rows::{self, Columns, folded, guid_after, json_opt, micros, word};
use crate::{Reader, StoreError, Tx};

/// Every column, in the order of the struct.
macro_rules! columns {
    () => {
        "tenant_id, id, managed_device_id, aad_device_id, display_name, managed_device_name, user_id, \
         user_principal_name, service_plan_id, image_id, provisioning_policy_id, provisioning_policy_name, region, single_sign_on, \
         product, status, status_before, status_detail, power_intended, power_observed, os_version, user_account_type, \
         provisioned_at, grace_ends_at, modified_at, created_at, provisioning_type, user_experience_type, \
         session_started_at, on_premises_connection_id"
    };
}

/// The Cloud PCs of a tenant, by id.
pub static CLOUD_PCS: ListTable<CloudPc> = ListTable {
    name: "cloud_pcs",
    columns: columns!(),
    width: 30,
    id: cloud_pc_columns::ID,
    descending: false,
    map: cloud_pc,
};

/// Columns by which Cloud PCs are selected and sorted. A text that may be missing is empty then,
/// and such a time is the least number.
#[expect(missing_docs, reason = "each is named after the field of the Cloud PC")]
pub mod cloud_pc_columns {
    use super::ListColumn;

    pub const ID: ListColumn = ListColumn::key("id", 0);
    pub const MANAGED_DEVICE_ID: ListColumn = ListColumn::indexed("managed_device_id", "cloud_pcs_managed_device", 0);
    pub const AAD_DEVICE_ID: ListColumn = ListColumn::plain("aad_device_id");
    pub const DISPLAY_NAME: ListColumn = ListColumn::indexed("display_name", "cloud_pcs_display_name", 1);
    /// In lower case.
    pub const DISPLAY_NAME_FOLDED: ListColumn =
        ListColumn::indexed("display_name_folded", "cloud_pcs_display_name_folded", 1)
            .with_parts("cloud_pc_name_parts");
    pub const MANAGED_DEVICE_NAME: ListColumn =
        ListColumn::indexed("managed_device_name", "cloud_pcs_managed_device_name", 1);
    pub const USER_ID: ListColumn = ListColumn::indexed("user_id", "cloud_pcs_user", 2);
    /// ASCII letters in lower case.
    pub const USER_PRINCIPAL_NAME: ListColumn =
        ListColumn::indexed("lower(user_principal_name)", "cloud_pcs_user_principal_name", 2);
    pub const SERVICE_PLAN_ID: ListColumn = ListColumn::indexed("service_plan_id", "cloud_pcs_service_plan", 6);
    pub const IMAGE_ID: ListColumn = ListColumn::plain("image_id");
    /// ASCII letters in lower case.
    pub const PROVISIONING_POLICY_ID: ListColumn =
        ListColumn::indexed("lower(provisioning_policy_id)", "cloud_pcs_provisioning_policy", 5);
    pub const PROVISIONING_POLICY_NAME: ListColumn =
        ListColumn::indexed("provisioning_policy_name", "cloud_pcs_provisioning_policy_name", 5);
    pub const REGION: ListColumn = ListColumn::plain("region");
    pub const PRODUCT: ListColumn = ListColumn::plain("product");
    pub const PROVISIONING_TYPE: ListColumn = ListColumn::plain("provisioning_type");
    pub const USER_EXPERIENCE_TYPE: ListColumn = ListColumn::plain("user_experience_type");
    pub const ON_PREMISES_CONNECTION_ID: ListColumn = ListColumn::plain("on_premises_connection_id");
    pub const STATUS: ListColumn = ListColumn::indexed("status", "cloud_pcs_status", 7);
    pub const POWER_OBSERVED: ListColumn = ListColumn::plain("power_observed");
    pub const OS_VERSION: ListColumn = ListColumn::plain("os_version");
    pub const USER_ACCOUNT_TYPE: ListColumn = ListColumn::plain("user_account_type");
    pub const PROVISIONED_AT: ListColumn = ListColumn::plain("coalesce(provisioned_at, -9223372036854775808)");
    pub const GRACE_ENDS_AT: ListColumn = ListColumn::plain("coalesce(grace_ends_at, -9223372036854775808)");
    pub const MODIFIED_AT: ListColumn = ListColumn::plain("modified_at");
}

impl Reader<'_> {
    /// One Cloud PC.
    pub fn cloud_pc(&self, tenant: TenantId, id: CloudPcId) -> Result<Option<CloudPc>, StoreError> {
        self.row(
            concat!("SELECT ", columns!(), " FROM cloud_pcs WHERE tenant_id = ?1 AND id = ?2"),
            params![tenant.0, id.0],
            cloud_pc,
        )
    }

    /// The Cloud PC with this managed device id.
    pub fn cloud_pc_by_managed_device(
        &self,
        tenant: TenantId,
        id: ManagedDeviceId,
    ) -> Result<Option<CloudPc>, StoreError> {
        self.row(
            concat!("SELECT ", columns!(), " FROM cloud_pcs WHERE tenant_id = ?1 AND managed_device_id = ?2"),
            params![tenant.0, id.0],
            cloud_pc,
        )
    }

    /// Cloud PCs by id, those above `after`; of one user if `user` is given.
    pub fn cloud_pc_list(
        &self,
        tenant: TenantId,
        user: Option<UserId>,
        after: Option<CloudPcId>,
        limit: usize,
    ) -> Result<Vec<CloudPc>, StoreError> {
        match user {
            None => self.rows(
                concat!("SELECT ", columns!(), " FROM cloud_pcs WHERE tenant_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3"),
                params![tenant.0, guid_after(after.map(|id| id.0)), rows::limit(limit)],
                cloud_pc,
            ),
            // First the ids from the index by user, then their rows: in one step SQLite would walk
            // the rows of all users.
            Some(user) => self.rows(
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM cloud_pcs WHERE tenant_id = ?1 AND id IN (SELECT id FROM cloud_pcs
                     WHERE tenant_id = ?1 AND user_id = ?2 AND id > ?3 ORDER BY id LIMIT ?4) ORDER BY id"
                ),
                params![tenant.0, user.0, guid_after(after.map(|id| id.0)), rows::limit(limit)],
                cloud_pc,
            ),
        }
    }

    /// The Cloud PCs that the group of an assignment shares and that have no user or this one, by
    /// id.
    pub fn shared_cloud_pcs(
        &self,
        tenant: TenantId,
        policy: &str,
        assignment: &str,
        user: UserId,
    ) -> Result<Vec<CloudPc>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM cloud_pcs WHERE tenant_id = ?1 AND id IN (SELECT cloud_pc_id FROM entitlements
                 WHERE tenant_id = ?1 AND policy_id = ?2 AND assignment_id = ?3 AND user_id = ?4)
                 AND user_id IN (?4, ?5) ORDER BY id"
            ),
            params![tenant.0, policy, assignment, user_key(None), user.0],
            cloud_pc,
        )
    }

    /// Ids of Cloud PCs whose users are members of a group, by user and id, those above `after`.
    pub fn cloud_pc_ids_of_group(
        &self,
        tenant: TenantId,
        group: GroupId,
        after: Option<(UserId, CloudPcId)>,
        limit: usize,
    ) -> Result<Vec<(UserId, CloudPcId)>, StoreError> {
        let (last_user, last) = after.unzip();
        self.rows(
            concat!(
                "SELECT group_members.user_id, cloud_pcs.id FROM group_members ",
                join_in_order!(),
                " cloud_pcs ON cloud_pcs.tenant_id = group_members.tenant_id
                 AND cloud_pcs.user_id = group_members.user_id
                 WHERE group_members.tenant_id = ?1 AND group_id = ?2
                 AND group_members.user_id >= ?3 AND (group_members.user_id > ?3 OR cloud_pcs.id > ?4)
                 ORDER BY group_members.user_id, cloud_pcs.id LIMIT ?5"
            ),
            params![
                tenant.0,
                group.0,
                guid_after(last_user.map(|id| id.0)),
                guid_after(last.map(|id| id.0)),
                rows::limit(limit),
            ],
            |row| Ok((UserId(row.get(0)?), CloudPcId(row.get(1)?))),
        )
    }

    /// Cloud PCs by managed device id, those above `after`.
    pub fn cloud_pc_list_by_managed_device(
        &self,
        tenant: TenantId,
        after: Option<ManagedDeviceId>,
        limit: usize,
    ) -> Result<Vec<CloudPc>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM cloud_pcs WHERE tenant_id = ?1 AND managed_device_id > ?2 ORDER BY managed_device_id LIMIT ?3"
            ),
            params![tenant.0, guid_after(after.map(|id| id.0)), rows::limit(limit)],
            cloud_pc,
        )
    }

    /// Whether a Cloud PC of the tenant has this device name.
    pub fn cloud_pc_device_name_exists(&self, tenant: TenantId, name: &str) -> Result<bool, StoreError> {
        let found = self.row(
            "SELECT 1 FROM cloud_pcs WHERE tenant_id = ?1 AND managed_device_name = ?2 LIMIT 1",
            params![tenant.0, name],
            |row| row.get::<i64>(0),
        )?;
        Ok(found.is_some())
    }

    /// Up to `limit` Cloud PCs of all tenants whose grace period ended by `now`, earliest first.
    pub fn cloud_pc_grace_ended(&self, now: Timestamp, limit: usize) -> Result<Vec<CloudPc>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM cloud_pcs WHERE grace_ends_at <= ?1 AND status IN ('inGracePeriod', 'failed')
                 ORDER BY grace_ends_at, tenant_id, id LIMIT ?2"
            ),
            params![now.0, rows::limit(limit)],
            cloud_pc,
        )
    }

    /// When the next grace period ends; none if no Cloud PC is in one.
    pub fn cloud_pc_grace_next_end(&self) -> Result<Option<Timestamp>, StoreError> {
        self.row(
            "SELECT grace_ends_at FROM cloud_pcs
             WHERE grace_ends_at IS NOT NULL AND status IN ('inGracePeriod', 'failed')
             ORDER BY grace_ends_at, tenant_id, id LIMIT 1",
            params![],
            |row| Columns::new(row, "cloud_pcs").time(),
        )
    }

    /// Number of Cloud PCs; of one user if `user` is given.
    pub fn cloud_pc_count(&self, tenant: TenantId, user: Option<UserId>) -> Result<u64, StoreError> {
        match user {
            None => self.count("SELECT count(*) FROM cloud_pcs WHERE tenant_id = ?1", params![tenant.0]),
            Some(user) => self.count(
                "SELECT count(*) FROM cloud_pcs WHERE tenant_id = ?1 AND user_id = ?2",
                params![tenant.0, user.0],
            ),
        }
    }
}

impl Tx<'_> {
    /// Adds a Cloud PC.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if any tenant has one with this id, or the tenant one with this
    /// managed device id.
    pub fn cloud_pc_insert(&mut self, cloud_pc: &CloudPc) -> Result<(), StoreError> {
        let inserted = self.execute(
            concat!(
                "INSERT INTO cloud_pcs (",
                columns!(),
                ", display_name_folded) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                 ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31)
                 ON CONFLICT DO NOTHING"
            ),
            params![
                cloud_pc.tenant_id.0,
                cloud_pc.id.0,
                cloud_pc.managed_device_id.0,
                cloud_pc.aad_device_id,
                cloud_pc.display_name,
                cloud_pc.managed_device_name,
                user_key(cloud_pc.user_id),
                cloud_pc.user_principal_name,
                cloud_pc.service_plan_id.0,
                cloud_pc.image_id.0,
                cloud_pc.provisioning_policy_id,
                cloud_pc.provisioning_policy_name,
                cloud_pc.region,
                cloud_pc.single_sign_on,
                word(cloud_pc.product),
                word(cloud_pc.status),
                cloud_pc.status_before.map(word),
                json_opt(cloud_pc.status_detail.as_ref()),
                word(cloud_pc.power_intended),
                word(cloud_pc.power_observed),
                word(cloud_pc.os_version),
                word(cloud_pc.user_account_type),
                micros(cloud_pc.provisioned_at),
                micros(cloud_pc.grace_ends_at),
                cloud_pc.modified_at.0,
                cloud_pc.created_at.0,
                word(cloud_pc.provisioning_type),
                word(cloud_pc.user_experience_type),
                micros(cloud_pc.session_started_at),
                cloud_pc.on_premises_connection_id,
                folded(&cloud_pc.display_name),
            ],
        )?;
        if inserted == 0 {
            return Err(StoreError::Exists("a Cloud PC with this id or managed device"));
        }
        self.changed(cloud_pc.tenant_id, change(ChangeKind::Created, cloud_pc));
        self.signal_grace(cloud_pc);
        if is_watched(cloud_pc.status) {
            self.alert_evaluation_put(cloud_pc.tenant_id)?;
        }
        self.name_parts_put(cloud_pc)
    }

    /// Stores every changeable column of a Cloud PC that was read in this transaction. Most changes
    /// leave the indexed columns as they are: these are set only if they differ, because setting
    /// one moves the row in its index.
    pub fn cloud_pc_update(&mut self, cloud_pc: &CloudPc) -> Result<(), StoreError> {
        self.cloud_pc_put(cloud_pc)?;
        self.alert_evaluation_put_by_status(cloud_pc)?;
        self.cloud_pc_status_put(cloud_pc)?;
        self.cloud_pc_names_put(cloud_pc)?;
        self.changed(cloud_pc.tenant_id, change(ChangeKind::Updated, cloud_pc));
        self.signal_grace(cloud_pc);
        Ok(())
    }

    /// Like [`Tx::cloud_pc_update`], for a Cloud PC that was `before` when it was read in this
    /// transaction: what is still the same is not compared again.
    pub fn cloud_pc_update_from(&mut self, before: &CloudPc, cloud_pc: &CloudPc) -> Result<(), StoreError> {
        self.cloud_pc_put(cloud_pc)?;
        if cloud_pc.status != before.status {
            self.cloud_pc_status_put(cloud_pc)?;
            if is_watched(before.status) || is_watched(cloud_pc.status) {
                self.alert_evaluation_put(cloud_pc.tenant_id)?;
            }
        }
        if names(cloud_pc) != names(before) {
            self.cloud_pc_names_put(cloud_pc)?;
        }
        self.changed(cloud_pc.tenant_id, change(ChangeKind::Updated, cloud_pc));
        self.signal_grace(cloud_pc);
        Ok(())
    }

    /// Stores the columns that are in no index.
    fn cloud_pc_put(&mut self, cloud_pc: &CloudPc) -> Result<(), StoreError> {
        self.execute(
            "UPDATE cloud_pcs SET image_id = ?3, region = ?4, product = ?5, status_before = ?6, status_detail = ?7,
             power_intended = ?8, power_observed = ?9, os_version = ?10, user_account_type = ?11, provisioned_at = ?12,
             grace_ends_at = ?13, modified_at = ?14, aad_device_id = ?15, single_sign_on = ?16, provisioning_type = ?17,
             session_started_at = ?18, on_premises_connection_id = ?19
             WHERE tenant_id = ?1 AND id = ?2",
            params![
                cloud_pc.tenant_id.0,
                cloud_pc.id.0,
                cloud_pc.image_id.0,
                cloud_pc.region,
                word(cloud_pc.product),
                cloud_pc.status_before.map(word),
                json_opt(cloud_pc.status_detail.as_ref()),
                word(cloud_pc.power_intended),
                word(cloud_pc.power_observed),
                word(cloud_pc.os_version),
                word(cloud_pc.user_account_type),
                micros(cloud_pc.provisioned_at),
                micros(cloud_pc.grace_ends_at),
                cloud_pc.modified_at.0,
                cloud_pc.aad_device_id,
                cloud_pc.single_sign_on,
                word(cloud_pc.provisioning_type),
                micros(cloud_pc.session_started_at),
                cloud_pc.on_premises_connection_id,
            ],
        )?;
        Ok(())
    }

    fn cloud_pc_status_put(&mut self, cloud_pc: &CloudPc) -> Result<(), StoreError> {
        self.execute(
            "UPDATE cloud_pcs SET status = ?3 WHERE tenant_id = ?1 AND id = ?2 AND status <> ?3",
            params![cloud_pc.tenant_id.0, cloud_pc.id.0, word(cloud_pc.status)],
        )?;
        Ok(())
    }

    /// Stores the names of a Cloud PC and what else is in an index.
    fn cloud_pc_names_put(&mut self, cloud_pc: &CloudPc) -> Result<(), StoreError> {
        self.name_parts_clear(cloud_pc)?;
        let moved = self.execute(
            "UPDATE cloud_pcs SET display_name = ?3, managed_device_name = ?4, user_id = ?5, user_principal_name = ?6,
             service_plan_id = ?7, provisioning_policy_id = ?8, provisioning_policy_name = ?9, display_name_folded = ?10
             WHERE tenant_id = ?1 AND id = ?2 AND (display_name, managed_device_name, user_id, user_principal_name,
             service_plan_id, provisioning_policy_id, provisioning_policy_name) <> (?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                cloud_pc.tenant_id.0,
                cloud_pc.id.0,
                cloud_pc.display_name,
                cloud_pc.managed_device_name,
                user_key(cloud_pc.user_id),
                cloud_pc.user_principal_name,
                cloud_pc.service_plan_id.0,
                cloud_pc.provisioning_policy_id,
                cloud_pc.provisioning_policy_name,
                folded(&cloud_pc.display_name),
            ],
        )?;
        if moved == 1 && cloud_pc.user_id.is_none() {
            self.signal_user_access();
        }
        if moved == 1 { self.name_parts_put(cloud_pc) } else { Ok(()) }
    }

    /// Stores the power state in which a Cloud PC was found at `at`.
    pub(crate) fn cloud_pc_power_put(
        &mut self,
        tenant: TenantId,
        id: CloudPcId,
        power: Power,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let changed = self.execute(
            "UPDATE cloud_pcs SET power_observed = ?3, modified_at = ?4
             WHERE tenant_id = ?1 AND id = ?2 AND power_observed <> ?3",
            params![tenant.0, id.0, word(power), at.0],
        )?;
        if changed == 1 {
            self.updated(tenant, EntityType::CloudPc, id);
        }
        Ok(())
    }

    /// Removes the parts of a Cloud PC's stored name if it is about to be replaced.
    fn name_parts_clear(&mut self, cloud_pc: &CloudPc) -> Result<(), StoreError> {
        let before: Option<String> = self.row(
            "SELECT display_name_folded FROM cloud_pcs WHERE tenant_id = ?1 AND id = ?2 AND display_name <> ?3",
            params![cloud_pc.tenant_id.0, cloud_pc.id.0, cloud_pc.display_name],
            |row| row.get(0),
        )?;
        self.name_parts_delete(cloud_pc.tenant_id, cloud_pc.id, before.as_deref().unwrap_or_default())
    }

    /// Removes the parts of a folded name.
    fn name_parts_delete(&mut self, tenant: TenantId, id: CloudPcId, folded: &str) -> Result<(), StoreError> {
        for NamePart { text, .. } in name_parts(folded) {
            self.execute(
                "DELETE FROM cloud_pc_name_parts WHERE tenant = ?1 AND part = ?2 AND cloud_pc_id = ?3",
                params![tenant.0, text, id.0],
            )?;
        }
        Ok(())
    }

    /// Adds the parts of a Cloud PC's name.
    fn name_parts_put(&mut self, cloud_pc: &CloudPc) -> Result<(), StoreError> {
        for NamePart { text, repeats } in name_parts(&folded(&cloud_pc.display_name)) {
            self.execute(
                "INSERT INTO cloud_pc_name_parts (tenant, part, cloud_pc_id, repeats) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
                params![cloud_pc.tenant_id.0, text, cloud_pc.id.0, repeats],
            )?;
        }
        Ok(())
    }

    /// Signals that a grace period may end earlier than all others.
    fn signal_grace(&mut self, cloud_pc: &CloudPc) {
        if cloud_pc.grace_ends_at.is_some() {
            self.signal_provisioning();
        }
    }

    /// Deletes a Cloud PC with its entitlement, restore points, undo record, health and sessions.
    /// Its actions stay.
    pub fn cloud_pc_delete(&mut self, tenant: TenantId, id: CloudPcId) -> Result<(), StoreError> {
        if let Some(line) = self.line(tenant, &id.to_string())? {
            // Records of disks that are being dropped stay until the engine finds the disks gone.
            for table in [
                "DELETE FROM undo_records WHERE line_id = ?1 AND dropping = 0",
                "DELETE FROM health_checks WHERE line_id = ?1",
            ] {
                self.execute(table, params![line])?;
            }
        }
        for snapshot in self.snapshot_list(tenant, Some(id), None, usize::MAX)? {
            self.changed(tenant, Change::new(ChangeKind::Deleted, EntityType::Snapshot, &snapshot.id).within(id));
        }
        if let Some(cloud_pc) = self.cloud_pc(tenant, id)? {
            self.name_parts_delete(tenant, id, &folded(&cloud_pc.display_name))?;
            self.changed(tenant, change(ChangeKind::Deleted, &cloud_pc));
            if is_watched(cloud_pc.status) {
                self.alert_evaluation_put(tenant)?;
            }
        }
        for table in [
            "DELETE FROM snapshots WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            "DELETE FROM health_events WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            "DELETE FROM counters WHERE tenant_id = ?1 AND kind = 'healthEvent' AND owner_id = ?2",
            "DELETE FROM remote_sessions WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            "DELETE FROM counters WHERE tenant_id = ?1 AND kind = 'remoteSession' AND owner_id = ?2",
            "DELETE FROM entitlements WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            "DELETE FROM cloud_pc_reviews WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            "DELETE FROM restore_point_schedules WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            "DELETE FROM frontline_activations WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            "DELETE FROM cloud_pcs WHERE tenant_id = ?1 AND id = ?2",
        ] {
            self.execute(table, params![tenant.0, id.0])?;
        }
        Ok(())
    }
}

/// Returns what [`Tx::cloud_pc_names_put`] stores.
fn names(cloud_pc: &CloudPc) -> (&str, &str, Option<UserId>, &str, ServicePlanId, &str, &str) {
    (
        &cloud_pc.display_name,
        &cloud_pc.managed_device_name,
        cloud_pc.user_id,
        &cloud_pc.user_principal_name,
        cloud_pc.service_plan_id,
        &cloud_pc.provisioning_policy_id,
        &cloud_pc.provisioning_policy_name,
    )
}

/// Returns how the user of a Cloud PC is stored: the nil GUID if there is none, since a column of
/// an index is never null.
pub(crate) fn user_key(user: Option<UserId>) -> Uuid {
    user.map_or(Uuid::nil(), |user| user.0)
}

/// Returns the user that a column holds.
pub(crate) fn user_of_key(key: Uuid) -> Option<UserId> {
    (!key.is_nil()).then_some(UserId(key))
}

fn change(kind: ChangeKind, cloud_pc: &CloudPc) -> Change {
    Change::new(kind, EntityType::CloudPc, cloud_pc.id).named(&cloud_pc.display_name)
}

fn cloud_pc(row: Row<'_>) -> Result<CloudPc, StoreError> {
    let mut columns = Columns::new(row, "cloud_pcs");
    Ok(CloudPc {
        tenant_id: TenantId(columns.get()?),
        id: CloudPcId(columns.get()?),
        managed_device_id: ManagedDeviceId(columns.get()?),
        aad_device_id: columns.get()?,
        display_name: columns.get()?,
        managed_device_name: columns.get()?,
        user_id: user_of_key(columns.get()?),
        user_principal_name: columns.get()?,
        service_plan_id: ServicePlanId(columns.get()?),
        image_id: ImageId(columns.get()?),
        provisioning_policy_id: columns.get()?,
        provisioning_policy_name: columns.get()?,
        region: columns.get()?,
        single_sign_on: columns.get()?,
        product: columns.word()?,
        status: columns.word()?,
        status_before: columns.word_opt()?,
        status_detail: columns.json_opt()?,
        power_intended: columns.word()?,
        power_observed: columns.word()?,
        os_version: columns.word()?,
        user_account_type: columns.word()?,
        provisioned_at: columns.time_opt()?,
        grace_ends_at: columns.time_opt()?,
        modified_at: columns.time()?,
        created_at: columns.time()?,
        provisioning_type: columns.word()?,
        user_experience_type: columns.word()?,
        session_started_at: columns.time_opt()?,
        on_premises_connection_id: columns.get()?,
    })
}
