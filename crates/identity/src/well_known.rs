//! What Microsoft's cloud has without registration, and tools therefore have written into them:
//! host names, public clients, and resources other than Graph.

use cloudpc_model::AppId;
use uuid::Uuid;

/// The host of Graph.
pub const GRAPH_HOST: &str = "graph.microsoft.com";
/// The host of the token service.
pub const LOGIN_HOST: &str = "login.microsoftonline.com";
/// The host of Azure Resource Manager, which the Azure CLI asks for subscriptions when it signs in.
pub const MANAGEMENT_HOST: &str = "management.azure.com";

/// Every host of Microsoft that this service answers for, over TLS only.
pub const HOSTS: [&str; 3] = [GRAPH_HOST, LOGIN_HOST, MANAGEMENT_HOST];

/// Whether this service answers for a host of Microsoft.
pub fn is_host(host: &str) -> bool {
    HOSTS.iter().any(|known| known.eq_ignore_ascii_case(host))
}

/// The public clients that exist in every tenant of Entra, with their names there. The client of
/// the Azure CLI is also azure-identity's own.
const CLIENTS: [(AppId, &str); 3] = [
    (AppId(Uuid::from_u128(0x04b0_7795_8ddb_461a_bbee_02f9_e1bf_7b46)), "Microsoft Azure CLI"),
    (AppId(Uuid::from_u128(0x1950_a258_227b_4e31_a9cf_7174_9594_5fc2)), "Microsoft Azure PowerShell"),
    (AppId(Uuid::from_u128(0x14d8_2eec_204b_4c2f_b7e8_296a_70da_b67e)), "Microsoft Graph Command Line Tools"),
];

/// Returns the name of a public client that exists in every tenant.
pub(super) fn client_name(id: AppId) -> Option<&'static str> {
    CLIENTS.iter().find(|(known, _)| *known == id).map(|(_, name)| *name)
}

/// The audiences of Azure Resource Manager, without a trailing slash. Tokens for them open nothing
/// here, but the Azure CLI signs in with one.
const MANAGEMENT_AUDIENCES: [&str; 2] = ["https://management.azure.com", "https://management.core.windows.net"];

/// The permission of a user's token for Azure Resource Manager.
pub(super) const MANAGEMENT_PERMISSION: &str = "user_impersonation";

/// Whether an audience is Azure Resource Manager.
pub(super) fn is_management(audience: &str) -> bool {
    let audience = audience.strip_suffix('/').unwrap_or(audience);
    MANAGEMENT_AUDIENCES.iter().any(|known| known.eq_ignore_ascii_case(audience))
}
