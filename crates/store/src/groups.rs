//! Groups and their members, who are users.

use cloudpc_model::{Change, ChangeKind, EntityType, GroupId, TenantId, Timestamp, UserId};

use crate::connection::{Row, params};
use crate::licenses::LicenseHolder;
use crate::lists::{ListColumn, ListTable};
use crate::rows::{self, Columns, filled, guid_after};
use crate::users::{User, user};
use crate::{Reader, StoreError, Tx};

macro_rules! columns {
    () => {
        "groups.tenant_id, groups.id, groups.display_name, groups.description, groups.mail_nickname,
         groups.mail_enabled, groups.security_enabled, groups.created_at"
    };
}

/// The groups of a tenant, by id.
pub static GROUPS: ListTable<Group> =
    ListTable { name: "groups", columns: columns!(), width: 8, id: group_columns::ID, descending: false, map: group };

/// Columns by which groups are selected and sorted.
#[expect(missing_docs, reason = "each is named after the field of the group")]
pub mod group_columns {
    use super::ListColumn;

    pub const ID: ListColumn = ListColumn::key("id", 0);
    pub const DISPLAY_NAME: ListColumn = ListColumn::indexed("display_name", "groups_display_name", 1);
    /// Empty if there is none.
    pub const DESCRIPTION: ListColumn = ListColumn::plain("coalesce(description, '')");
    pub const MAIL_NICKNAME: ListColumn = ListColumn::plain("mail_nickname");
    pub const MAIL_ENABLED: ListColumn = ListColumn::plain("mail_enabled");
    pub const SECURITY_ENABLED: ListColumn = ListColumn::plain("security_enabled");
    pub const CREATED_AT: ListColumn = ListColumn::plain("created_at");
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: GroupId,
    /// Name for people; need not be unique.
    pub display_name: String,
    /// What the group is for.
    pub description: Option<String>,
    /// Local part of the group's mail address.
    pub mail_nickname: String,
    /// Whether the group has a mail address.
    pub mail_enabled: bool,
    /// Whether the group is a security group.
    pub security_enabled: bool,
    /// Creation time.
    pub created_at: Timestamp,
}

impl Reader<'_> {
    /// One group.
    pub fn group(&self, tenant: TenantId, id: GroupId) -> Result<Option<Group>, StoreError> {
        self.row(
            concat!("SELECT ", columns!(), " FROM groups WHERE tenant_id = ?1 AND id = ?2"),
            params![tenant.0, id.0],
            group,
        )
    }

    /// Up to `limit` groups by id, those after `after`.
    pub fn group_list(&self, tenant: TenantId, after: Option<GroupId>, limit: usize) -> Result<Vec<Group>, StoreError> {
        self.rows(
            concat!("SELECT ", columns!(), " FROM groups WHERE tenant_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3"),
            params![tenant.0, guid_after(after.map(|id| id.0)), rows::limit(limit)],
            group,
        )
    }

    /// Number of groups.
    pub fn group_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM groups WHERE tenant_id = ?1", params![tenant.0])
    }

    /// Up to `limit` members of a group by id, those after `after`.
    pub fn group_member_list(
        &self,
        tenant: TenantId,
        group: GroupId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<User>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                crate::users::columns!(),
                " FROM group_members JOIN users ON users.tenant_id = group_members.tenant_id AND users.id = user_id
                 WHERE group_members.tenant_id = ?1 AND group_id = ?2 AND user_id > ?3 ORDER BY user_id LIMIT ?4"
            ),
            params![tenant.0, group.0, guid_after(after.map(|id| id.0)), rows::limit(limit)],
            user,
        )
    }

    /// Number of members of a group.
    pub fn group_member_count(&self, tenant: TenantId, group: GroupId) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM group_members WHERE tenant_id = ?1 AND group_id = ?2",
            params![tenant.0, group.0],
        )
    }

    /// When a user became a member of a group; none if they are not.
    pub fn group_member_since(
        &self,
        tenant: TenantId,
        group: GroupId,
        user: UserId,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.row(
            "SELECT added_at FROM group_members WHERE tenant_id = ?1 AND group_id = ?2 AND user_id = ?3",
            params![tenant.0, group.0, user.0],
            |row| Ok(Timestamp(row.get(0)?)),
        )
    }

    /// The groups of a user, by id.
    pub fn user_groups(&self, tenant: TenantId, user: UserId) -> Result<Vec<Group>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM group_members JOIN groups ON groups.tenant_id = group_members.tenant_id AND groups.id = group_id
                 WHERE group_members.tenant_id = ?1 AND user_id = ?2 ORDER BY group_id"
            ),
            params![tenant.0, user.0],
            group,
        )
    }
}

impl Tx<'_> {
    /// Adds or replaces a group.
    pub fn group_put(&mut self, group: &Group) -> Result<(), StoreError> {
        let kind = match self.group(group.tenant_id, group.id)? {
            Some(_) => ChangeKind::Updated,
            None => ChangeKind::Created,
        };
        self.changed(group.tenant_id, change(kind, group));
        self.execute(
            "INSERT INTO groups
               (tenant_id, id, display_name, description, mail_nickname, mail_enabled, security_enabled, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (tenant_id, id) DO UPDATE SET display_name = excluded.display_name,
             description = excluded.description, mail_nickname = excluded.mail_nickname,
             mail_enabled = excluded.mail_enabled, security_enabled = excluded.security_enabled",
            params![
                group.tenant_id.0,
                group.id.0,
                group.display_name,
                filled(&group.description),
                group.mail_nickname,
                group.mail_enabled,
                group.security_enabled,
                group.created_at.0,
            ],
        )?;
        Ok(())
    }

    /// Deletes a group with its memberships and licence assignments, and queues its members.
    /// Returns whether it was there.
    pub fn group_delete(&mut self, tenant: TenantId, id: GroupId, now: Timestamp) -> Result<bool, StoreError> {
        self.provisioning_queue_put_members(tenant, id, now)?;
        for sku in self.license_assignments(tenant, LicenseHolder::Group(id))? {
            self.license_unassign(tenant, sku, LicenseHolder::Group(id), now)?;
        }
        let Some(group) = self.group(tenant, id)? else { return Ok(false) };
        let key = params![tenant.0, id.0];
        self.execute("DELETE FROM group_members WHERE tenant_id = ?1 AND group_id = ?2", key)?;
        self.execute("DELETE FROM groups WHERE tenant_id = ?1 AND id = ?2", key)?;
        self.changed(tenant, change(ChangeKind::Deleted, &group));
        Ok(true)
    }

    /// Adds a user to a group, entitles them to the group's licences, and queues them. Returns
    /// whether they were not a member before.
    pub fn group_member_insert(
        &mut self,
        tenant: TenantId,
        group: GroupId,
        user: UserId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let added = self.execute(
            "INSERT INTO group_members (tenant_id, group_id, user_id, added_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO NOTHING",
            params![tenant.0, group.0, user.0, now.0],
        )?;
        if added == 0 {
            return Ok(false);
        }
        self.updated(tenant, EntityType::Group, group);
        for sku in self.license_assignments(tenant, LicenseHolder::Group(group))? {
            self.license_entitle(tenant, sku, user, now)?;
            self.license_grant(tenant, sku, now)?;
        }
        self.provisioning_queue_put(tenant, &[user], now)?;
        Ok(true)
    }

    /// Removes a user from a group, ends what only this membership entitled them to, and queues
    /// them. Returns whether they were a member.
    pub fn group_member_delete(
        &mut self,
        tenant: TenantId,
        group: GroupId,
        user: UserId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let removed = self.execute(
            "DELETE FROM group_members WHERE tenant_id = ?1 AND group_id = ?2 AND user_id = ?3",
            params![tenant.0, group.0, user.0],
        )?;
        if removed == 0 {
            return Ok(false);
        }
        self.updated(tenant, EntityType::Group, group);
        for sku in self.license_assignments(tenant, LicenseHolder::Group(group))? {
            self.license_release(tenant, sku, user)?;
            self.license_grant(tenant, sku, now)?;
        }
        self.provisioning_queue_put(tenant, &[user], now)?;
        Ok(true)
    }
}

fn change(kind: ChangeKind, group: &Group) -> Change {
    Change::new(kind, EntityType::Group, group.id).named(&group.display_name)
}

fn group(row: Row<'_>) -> Result<Group, StoreError> {
    let mut columns = Columns::new(row, "groups");
    Ok(Group {
        tenant_id: TenantId(columns.get()?),
        id: GroupId(columns.get()?),
        display_name: columns.get()?,
        description: columns.get()?,
        mail_nickname: columns.get()?,
        mail_enabled: columns.get()?,
        security_enabled: columns.get()?,
        created_at: columns.time()?,
    })
}
