//! Local users.

use cloudpc_model::{Change, ChangeKind, EntityType, TenantId, Timestamp, UserId};

use crate::connection::dialect::after_at;
use crate::connection::{Row, params};
use crate::licenses::LicenseHolder;
use crate::lists::{ListColumn, ListTable};
use crate::rows::{self, Columns, filled, guid_after, json, micros};
use crate::{Reader, StoreError, Tx};

macro_rules! columns {
    () => {
        "users.tenant_id, users.id, users.user_principal_name, users.display_name, users.password_hash, users.roles,
         users.permissions, users.enabled, users.given_name, users.surname, users.mail, users.mail_nickname, users.job_title,
         users.department, users.usage_location, users.created_at"
    };
}
pub(crate) use columns;

/// The users of a tenant, by id.
pub static USERS: ListTable<User> =
    ListTable { name: "users", columns: columns!(), width: 16, id: user_columns::ID, descending: false, map: user };

/// Columns by which users are selected and sorted. A text that may be missing is empty then, and
/// such a time is the least number.
#[expect(missing_docs, reason = "each is named after the field of the user")]
pub mod user_columns {
    use super::ListColumn;

    pub const ID: ListColumn = ListColumn::key("id", 0);
    /// ASCII letters in lower case.
    pub const USER_PRINCIPAL_NAME: ListColumn = ListColumn::indexed("lower(user_principal_name)", "users_name", 0);
    pub const DISPLAY_NAME: ListColumn = ListColumn::indexed("display_name", "users_display_name", 1);
    /// ASCII letters in lower case.
    pub const MAIL: ListColumn = ListColumn::indexed("lower(coalesce(mail, ''))", "users_mail", 2);
    pub const ENABLED: ListColumn = ListColumn::plain("enabled");
    pub const GIVEN_NAME: ListColumn = ListColumn::plain("coalesce(given_name, '')");
    pub const SURNAME: ListColumn = ListColumn::plain("coalesce(surname, '')");
    pub const MAIL_NICKNAME: ListColumn = ListColumn::plain("coalesce(mail_nickname, '')");
    pub const JOB_TITLE: ListColumn = ListColumn::plain("coalesce(job_title, '')");
    pub const DEPARTMENT: ListColumn = ListColumn::plain("coalesce(department, '')");
    pub const USAGE_LOCATION: ListColumn = ListColumn::plain("coalesce(usage_location, '')");
    pub const CREATED_AT: ListColumn = ListColumn::plain("coalesce(created_at, -9223372036854775808)");
}

/// A local user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Tenant of the user.
    pub tenant_id: TenantId,
    /// Id of the user.
    pub id: UserId,
    /// User principal name, such as `ada@contoso.test`; unique in the tenant, ignoring case.
    pub user_principal_name: String,
    /// Display name.
    pub display_name: String,
    /// Argon2 hash of the password, in PHC form; none if the user cannot sign in.
    pub password_hash: Option<String>,
    /// Directory roles, such as `Windows 365 Administrator`.
    pub roles: Vec<String>,
    /// Permissions that an application may have on behalf of the user.
    pub permissions: Vec<String>,
    /// Whether the user may sign in.
    pub enabled: bool,
    /// What the directory says about them.
    pub profile: UserProfile,
    /// Creation time; none for those made before it was kept.
    pub created_at: Option<Timestamp>,
}

/// What the directory says about a user, for people and tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserProfile {
    /// Given name.
    pub given_name: Option<String>,
    /// Surname.
    pub surname: Option<String>,
    /// Mail address.
    pub mail: Option<String>,
    /// Local part of the mail address.
    pub mail_nickname: Option<String>,
    /// Job title.
    pub job_title: Option<String>,
    /// Department.
    pub department: Option<String>,
    /// Country or region of their licences, as two letters of ISO 3166.
    pub usage_location: Option<String>,
}

impl Reader<'_> {
    /// One user by id.
    pub fn user(&self, tenant: TenantId, id: UserId) -> Result<Option<User>, StoreError> {
        self.row(
            concat!("SELECT ", columns!(), " FROM users WHERE tenant_id = ?1 AND id = ?2"),
            params![tenant.0, id.0],
            user,
        )
    }

    /// One user by name.
    pub fn user_by_name(&self, tenant: TenantId, user_principal_name: &str) -> Result<Option<User>, StoreError> {
        self.row(
            concat!(
                "SELECT ",
                columns!(),
                " FROM users WHERE tenant_id = ?1 AND lower(user_principal_name) = lower(?2)"
            ),
            params![tenant.0, user_principal_name],
            user,
        )
    }

    /// The tenants that have users in a domain, ignoring case: up to two, which is enough to see
    /// that more than one tenant has the domain.
    pub fn tenants_by_domain(&self, domain: &str) -> Result<Vec<TenantId>, StoreError> {
        self.rows(
            concat!(
                "SELECT DISTINCT tenant_id FROM users WHERE lower(",
                after_at!("user_principal_name"),
                ") = lower(?1) LIMIT 2"
            ),
            params![domain],
            |row| Ok(TenantId(row.get(0)?)),
        )
    }

    /// Up to `limit` users of a tenant by id, those after `after`.
    pub fn user_list(&self, tenant: TenantId, after: Option<UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        self.rows(
            concat!("SELECT ", columns!(), " FROM users WHERE tenant_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3"),
            params![tenant.0, guid_after(after.map(|id| id.0)), rows::limit(limit)],
            user,
        )
    }

    /// Number of users of a tenant.
    pub fn user_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM users WHERE tenant_id = ?1", params![tenant.0])
    }
}

impl Tx<'_> {
    /// Adds or replaces a user.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if another user of the tenant has this name.
    pub fn user_put(&mut self, user: &User) -> Result<(), StoreError> {
        let same = self.user_by_name(user.tenant_id, &user.user_principal_name)?;
        if same.is_some_and(|same| same.id != user.id) {
            return Err(StoreError::Exists("a user of this name"));
        }
        let kind = match self.user(user.tenant_id, user.id)? {
            Some(_) => ChangeKind::Updated,
            None => ChangeKind::Created,
        };
        self.changed(user.tenant_id, change(kind, user));
        self.execute(
            "INSERT INTO users (tenant_id, id, user_principal_name, display_name, password_hash, roles, permissions,
             enabled, given_name, surname, mail, mail_nickname, job_title, department, usage_location, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
             ON CONFLICT (tenant_id, id) DO UPDATE SET user_principal_name = excluded.user_principal_name,
             display_name = excluded.display_name, password_hash = excluded.password_hash, roles = excluded.roles,
             permissions = excluded.permissions, enabled = excluded.enabled, given_name = excluded.given_name,
             surname = excluded.surname, mail = excluded.mail, mail_nickname = excluded.mail_nickname, job_title = excluded.job_title,
             department = excluded.department, usage_location = excluded.usage_location",
            params![
                user.tenant_id.0,
                user.id.0,
                user.user_principal_name,
                user.display_name,
                user.password_hash,
                json(&user.roles),
                json(&user.permissions),
                user.enabled,
                filled(&user.profile.given_name),
                filled(&user.profile.surname),
                filled(&user.profile.mail),
                filled(&user.profile.mail_nickname),
                filled(&user.profile.job_title),
                filled(&user.profile.department),
                filled(&user.profile.usage_location),
                micros(user.created_at),
            ],
        )?;
        Ok(())
    }

    /// Deletes a user with their memberships and licences, and queues them. Returns whether they
    /// were there.
    pub fn user_delete(&mut self, tenant: TenantId, id: UserId, now: Timestamp) -> Result<bool, StoreError> {
        for group in self.user_groups(tenant, id)? {
            self.group_member_delete(tenant, group.id, id, now)?;
        }
        for sku in self.license_assignments(tenant, LicenseHolder::User(id))? {
            self.license_unassign(tenant, sku, LicenseHolder::User(id), now)?;
        }
        self.provisioning_queue_put(tenant, &[id], now)?;
        let Some(user) = self.user(tenant, id)? else { return Ok(false) };
        self.execute("DELETE FROM users WHERE tenant_id = ?1 AND id = ?2", params![tenant.0, id.0])?;
        self.changed(tenant, change(ChangeKind::Deleted, &user));
        Ok(true)
    }
}

fn change(kind: ChangeKind, user: &User) -> Change {
    Change::new(kind, EntityType::User, user.id).named(&user.display_name)
}

pub(crate) fn user(row: Row<'_>) -> Result<User, StoreError> {
    let mut columns = Columns::new(row, "users");
    Ok(User {
        tenant_id: TenantId(columns.get()?),
        id: UserId(columns.get()?),
        user_principal_name: columns.get()?,
        display_name: columns.get()?,
        password_hash: columns.get()?,
        roles: columns.json()?,
        permissions: columns.json()?,
        enabled: columns.get()?,
        profile: UserProfile {
            given_name: columns.get()?,
            surname: columns.get()?,
            mail: columns.get()?,
            mail_nickname: columns.get()?,
            job_title: columns.get()?,
            department: columns.get()?,
            usage_location: columns.get()?,
        },
        created_at: columns.time_opt()?,
    })
}
