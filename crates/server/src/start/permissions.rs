//! Upgrade of permissions: those that a version adds go to the applications that held every
//! permission of the version before, because their grant meant everything.

use cloudpc_identity::permissions::PERMISSIONS;
use cloudpc_model::{Actor, AuditEntry, AuditResource, AuditVerb, Error, ResourceType, Timestamp};
use cloudpc_store::{Application, StoreError, Tx};
use std::collections::BTreeSet;

use crate::app::App;
use crate::installation::GRANTED_BY_OWNER;

/// The setting that holds the names of the permissions of all versions that have started. Those of
/// a newer version stay when an older one starts, so that the newer one does not grant them again.
const KNOWN: &str = "permissions.known";

/// The permissions of the versions that did not write [`KNOWN`].
const FIRST: [&str; 6] = [
    "CloudPC.Read.All",
    "CloudPC.ReadWrite.All",
    "Cloudpc.Administer.All",
    "Cloudpc.Simulate.All",
    "DeviceManagementManagedDevices.Read.All",
    "DeviceManagementManagedDevices.ReadWrite.All",
];

/// Grants the permissions that this version adds. The applications of a new data directory hold
/// what they were made with.
pub(super) async fn upgrade(app: &App, is_new: bool) -> Result<(), Error> {
    let now = app.clock.now();
    let granted = app.store.write("permission.upgrade", move |tx| Ok::<_, Error>(grant_added(tx, is_new, now)?));
    for (app, added) in granted.await? {
        tracing::info!(
            tenant = %app.tenant_id,
            application = %app.id,
            name = app.name,
            permissions = added.join(" "),
            "an application that held every permission was granted those that this version adds"
        );
    }
    Ok(())
}

/// Returns the applications that were granted permissions, with these.
fn grant_added(tx: &mut Tx<'_>, is_new: bool, now: Timestamp) -> Result<Vec<(Application, Vec<String>)>, StoreError> {
    let known: Vec<String> = match tx.setting(KNOWN)? {
        Some(names) => String::from_utf8_lossy(&names).split(' ').map(str::to_owned).collect(),
        None => FIRST.map(str::to_owned).to_vec(),
    };
    let mut granted = Vec::new();
    let tenants = if is_new { Vec::new() } else { tx.tenant_list()? };
    for (tenant, _) in tenants {
        for app in tx.app_list(tenant)? {
            let added = added(&app.permissions, &known);
            if added.is_empty() {
                continue;
            }
            let before = app.permissions.join(" ");
            let app = Application { permissions: [app.permissions.clone(), added.clone()].concat(), ..app };
            tx.app_put(&app)?;
            let resource = AuditResource::new(ResourceType::Application, app.id).named(&app.name);
            let entry = AuditEntry::new(tenant, now, Actor::system(), AuditVerb::Update, resource);
            tx.audit_insert(&entry.changed("permissions", Some(&before), &app.permissions.join(" ")))?;
            granted.push((app, added));
        }
    }
    let all: BTreeSet<&str> = known.iter().map(String::as_str).chain(PERMISSIONS).collect();
    tx.setting_put(KNOWN, Vec::from_iter(all).join(" ").as_bytes())?;
    Ok(granted)
}

/// Returns what an application with the permissions `held` gets in addition to them: nothing,
/// unless it holds all that were `known` before. Permissions that only the owner grants are left
/// out.
fn added(held: &[String], known: &[String]) -> Vec<String> {
    let is_owners = |name: &str| GRANTED_BY_OWNER.contains(&name);
    let holds_all = known.iter().all(|name| is_owners(name) || held.contains(name));
    let is_added = |name: &&str| !is_owners(name) && !known.iter().chain(held).any(|old| old == name);
    PERMISSIONS.iter().copied().filter(|name| holds_all && is_added(name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_model::{AppId, TenantId};
    use cloudpc_store::{Store, WriteMode};
    use uuid::Uuid;

    const TENANT: TenantId = TenantId(Uuid::from_u128(1));
    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn app(number: u128, permissions: &[&str]) -> Application {
        Application {
            tenant_id: TENANT,
            id: AppId(Uuid::from_u128(number)),
            name: format!("App {number}"),
            secret_hash: None,
            permissions: permissions.iter().map(ToString::to_string).collect(),
            enabled: true,
        }
    }

    /// A store with an application that had every permission of the first versions, one that the
    /// owner had granted more, and one without the permission to administer.
    async fn old_store(directory: &std::path::Path) -> Store {
        let store = Store::open(directory, WriteMode::InlineTwice).unwrap();
        let all_of_tenant: Vec<_> = FIRST.into_iter().filter(|name| !GRANTED_BY_OWNER.contains(name)).collect();
        let writer: Vec<_> = FIRST.into_iter().filter(|name| *name != "Cloudpc.Administer.All").collect();
        store
            .write("test.write", move |tx| {
                tx.tenant_put(TENANT, "Contoso")?;
                tx.app_put(&app(1, &all_of_tenant))?;
                tx.app_put(&app(2, &FIRST))?;
                tx.app_put(&app(3, &writer))
            })
            .await
            .unwrap();
        store
    }

    async fn granted(store: &Store, is_new: bool) -> Vec<(u128, usize)> {
        let granted = store.write("test.write", move |tx| grant_added(tx, is_new, NOW)).await.unwrap();
        granted.iter().map(|(app, added)| (app.id.0.as_u128(), added.len())).collect()
    }

    async fn permissions(store: &Store, number: u128) -> Vec<String> {
        let id = AppId(Uuid::from_u128(number));
        let mut held = store.read(move |reader| reader.app(TENANT, id)).await.unwrap().unwrap().permissions;
        held.sort_unstable();
        held
    }

    #[tokio::test]
    async fn applications_with_every_permission_get_those_of_the_new_version_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = old_store(directory.path()).await;
        let added = PERMISSIONS.len() - FIRST.len();
        assert_eq!(granted(&store, false).await, [(1, added), (2, added)]);
        let tenants: Vec<_> = PERMISSIONS.into_iter().filter(|name| !GRANTED_BY_OWNER.contains(name)).collect();
        assert_eq!(permissions(&store, 1).await, tenants, "the owner's permissions are not granted");
        assert_eq!(permissions(&store, 2).await, PERMISSIONS);
        assert_eq!(permissions(&store, 3).await.len(), FIRST.len() - 1);
        assert_eq!(store.read(|reader| reader.audit_count(TENANT)).await.unwrap(), 2);
        assert_eq!(granted(&store, false).await, []);
    }

    #[tokio::test]
    async fn applications_of_a_new_data_directory_keep_what_they_were_made_with() {
        let directory = tempfile::tempdir().unwrap();
        let store = old_store(directory.path()).await;
        assert_eq!(granted(&store, true).await, []);
        assert_eq!(granted(&store, false).await, [], "nor does the next start grant anything");
    }

    #[tokio::test]
    async fn permissions_that_were_taken_away_stay_away_after_an_older_version_has_run() {
        let directory = tempfile::tempdir().unwrap();
        let store = old_store(directory.path()).await;
        let newer = [&PERMISSIONS.join(" "), "Newer.Read.All"].join(" ");
        store.write("test.write", move |tx| tx.setting_put(KNOWN, newer.as_bytes())).await.unwrap();
        assert_eq!(granted(&store, false).await, []);
        let known = store.read(|reader| reader.setting(KNOWN)).await.unwrap().unwrap();
        let known = String::from_utf8(known).unwrap();
        assert!(known.split(' ').any(|name| name == "Newer.Read.All"), "{known}");
    }

    #[test]
    fn only_what_the_last_version_lacked_is_added() {
        let known: Vec<String> = PERMISSIONS.iter().skip(2).map(ToString::to_string).collect();
        assert_eq!(added(&known, &known), ["CloudPC.Read.All", "CloudPC.ReadWrite.All"]);
        assert_eq!(added(&known[1..], &known), [] as [&str; 0]);
    }
}
