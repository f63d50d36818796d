//! Passwords that are generated when a scenario is loaded, so that published scenarios hold none.

use cloudpc_model::{Error, Rng};
use serde::{Deserialize, Serialize};

use super::file;
use super::resolve::{invalid, user_principal_name};

/// A user's generated password. The store keeps only its hash, so the caller who loads the scenario
/// must save it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneratedPassword {
    /// The user's sign-in name.
    pub user_principal_name: String,
    /// The password in plain text.
    pub password: String,
}

/// Letters and digits that are hard to confuse; 32 of them, so that each carries 5 bits.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 4 groups of 5: 100 bits.
const GROUPS: usize = 4;
const GROUP_LETTERS: usize = 5;

/// Generates a password for each user with `generate_password`.
///
/// # Errors
/// Invalid: a user also has `password` or `password_hash`, or an incomplete name.
pub(super) fn generate(scenario: &mut file::Scenario, rng: &dyn Rng) -> Result<Vec<GeneratedPassword>, Error> {
    let mut generated = Vec::new();
    for tenant in &mut scenario.tenants {
        for user in tenant.users.iter_mut().filter(|user| user.generate_password) {
            let place = format!("user '{}' of tenant '{}'", user.name, tenant.name);
            if user.password.is_some() || user.password_hash.is_some() {
                return Err(invalid(
                    &place,
                    "more than one of password, password_hash and generate_password is set; keep one of them",
                ));
            }
            let password = password(rng);
            user.password = Some(password.clone());
            let user_principal_name = user_principal_name(&user.name, tenant.domain.as_deref(), &place)?;
            generated.push(GeneratedPassword { user_principal_name, password });
        }
    }
    Ok(generated)
}

fn password(rng: &dyn Rng) -> String {
    let letter = || {
        let index = usize::try_from(rng.below(LETTERS.len() as u64)).expect("the index is below 32");
        char::from(LETTERS[index])
    };
    let group = || (0..GROUP_LETTERS).map(|_| letter()).collect::<String>();
    (0..GROUPS).map(|_| group()).collect::<Vec<_>>().join("-")
}
