//! Passwords that loading a scenario makes up, so that no file that is published holds one.

use cloudpc_model::{Error, Rng};
use serde::{Deserialize, Serialize};

use super::file;
use super::resolve::{user_principal_name, wrong};

/// A user's generated password. The store keeps its hash only, so whoever loads the scenario has to
/// keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneratedPassword {
    /// The name that the user signs in with.
    pub user_principal_name: String,
    /// The password.
    pub password: String,
}

/// Letters and digits that are not easily taken for one another; 32 of them, so that each carries 5
/// bits.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 4 groups of 5: 100 bits.
const GROUPS: usize = 4;
const GROUP_LETTERS: usize = 5;

/// Gives a password to every user of the scenario that is to have a generated one.
///
/// # Errors
/// Invalid: a user has a password of another kind too, or an incomplete name.
pub(super) fn generate(scenario: &mut file::Scenario, rng: &dyn Rng) -> Result<Vec<GeneratedPassword>, Error> {
    let mut generated = Vec::new();
    for tenant in &mut scenario.tenants {
        for user in tenant.users.iter_mut().filter(|user| user.generate_password) {
            let place = format!("user '{}' of tenant '{}'", user.name, tenant.name);
            if user.password.is_some() || user.password_hash.is_some() {
                return Err(wrong(&place, "give one of password, password_hash and generate_password"));
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
        let index = usize::try_from(rng.below(LETTERS.len() as u64)).expect("an index of a letter is small");
        char::from(LETTERS[index])
    };
    let group = || (0..GROUP_LETTERS).map(|_| letter()).collect::<String>();
    (0..GROUPS).map(|_| group()).collect::<Vec<_>>().join("-")
}
