//! The properties of users that clients write.

use cloudpc_graph::GraphError;
use cloudpc_model::AuditEntry;
use cloudpc_store::{Reader, User};
use serde_json::Value;

use crate::pipeline::{Call, Problem, check_chars, required};

/// What an update can change.
pub(super) const WRITABLE: [&str; 10] = [
    "accountEnabled",
    "department",
    "displayName",
    "givenName",
    "jobTitle",
    "mail",
    "mailNickname",
    "surname",
    "usageLocation",
    "userPrincipalName",
];

/// Most characters of a name, title or address.
const CHARS_MAX: usize = 256;
/// Most characters of a user principal name.
const NAME_CHARS_MAX: usize = 113;

/// Writes the properties of the body into a user.
pub(super) fn apply(call: &Call, reader: &Reader<'_>, user: &mut User) -> Result<(), Problem> {
    for (name, value) in &call.body {
        let text = value.as_str();
        check_chars(name, text.unwrap_or_default(), CHARS_MAX)?;
        let profile = &mut user.profile;
        let optional = match name.as_str() {
            "department" => &mut profile.department,
            "givenName" => &mut profile.given_name,
            "jobTitle" => &mut profile.job_title,
            "mail" => &mut profile.mail,
            "mailNickname" => {
                filled(name, text)?;
                &mut profile.mail_nickname
            }
            "surname" => &mut profile.surname,
            "usageLocation" => {
                check_location(text)?;
                &mut profile.usage_location
            }
            "accountEnabled" => {
                user.enabled = value.as_bool().ok_or_else(|| required("accountEnabled"))?;
                continue;
            }
            "displayName" => {
                user.display_name = filled(name, text)?.to_owned();
                continue;
            }
            "userPrincipalName" => {
                let new = filled(name, text)?;
                if new != user.user_principal_name {
                    check_name(reader, user, new)?;
                    new.clone_into(&mut user.user_principal_name);
                }
                continue;
            }
            _ => continue,
        };
        *optional = text.filter(|text| !text.is_empty()).map(str::to_owned);
    }
    Ok(())
}

fn filled<'a>(name: &str, text: Option<&'a str>) -> Result<&'a str, GraphError> {
    text.filter(|text| !text.trim().is_empty()).ok_or_else(|| required(name))
}

fn check_location(text: Option<&str>) -> Result<(), GraphError> {
    match text {
        Some(text) if text.len() != 2 || !text.bytes().all(|letter| letter.is_ascii_uppercase()) => {
            let message = format!("'{text}' is not a usage location. Write two letters of ISO 3166, such as US.");
            Err(GraphError::bad_request(message).about("usageLocation"))
        }
        _ => Ok(()),
    }
}

/// Checks a new user principal name. A domain belongs to the tenant that has used it first, because
/// sign-in finds the tenant by the domain.
fn check_name(reader: &Reader<'_>, user: &User, name: &str) -> Result<(), Problem> {
    const NAME: &str = "userPrincipalName";
    let wrong = |message: String| Err(GraphError::bad_request(message).about(NAME).into());
    let is_part = |part: &str, others: &str| {
        !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || others.contains(letter))
    };
    let parts = name.split_once('@').filter(|(local, domain)| is_part(local, "'.-_!#^~") && is_part(domain, ".-"));
    let Some((_, domain)) = parts.filter(|_| name.len() <= NAME_CHARS_MAX) else {
        return wrong(format!(
            "'{name}' is not a user principal name. Write one such as ada@contoso.test, of at most {NAME_CHARS_MAX} characters."
        ));
    };
    let owners = reader.tenants_by_domain(domain)?;
    if !owners.is_empty() && !owners.contains(&user.tenant_id) {
        return wrong(format!("The domain '{domain}' is not one of this tenant. Use a domain of its other users."));
    }
    if reader.user_by_name(user.tenant_id, name)?.is_some_and(|other| other.id != user.id) {
        let message = format!("There is another user whose userPrincipalName is '{name}'. Choose another one.");
        return Err(GraphError::new(409, "nameAlreadyExists", message).about(NAME).into());
    }
    Ok(())
}

/// Notes the properties that differ. `old` is none for a creation, `new` for a deletion.
pub(super) fn note(entry: AuditEntry, old: Option<&User>, new: Option<&User>) -> AuditEntry {
    entry.compared(WRITABLE, old.map(values), new.map(values))
}

/// The values of the properties, in the order of [`WRITABLE`].
fn values(user: &User) -> [String; WRITABLE.len()] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let profile = &user.profile;
    [
        user.enabled.to_string(),
        text(&profile.department),
        user.display_name.clone(),
        text(&profile.given_name),
        text(&profile.job_title),
        text(&profile.mail),
        text(&profile.mail_nickname),
        text(&profile.surname),
        text(&profile.usage_location),
        user.user_principal_name.clone(),
    ]
}

/// The password of the body.
pub(super) fn password(call: &Call) -> Result<&str, GraphError> {
    const NAME: &str = "passwordProfile/password";
    let profile = call.body.get("passwordProfile").filter(|profile| !profile.is_null());
    let profile = profile.ok_or_else(|| required("passwordProfile"))?;
    let password = profile.get("password").and_then(Value::as_str).ok_or_else(|| required(NAME))?;
    let most = crate::identity::PASSWORD_BYTES_MAX;
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > most {
        let message = format!("A password has {PASSWORD_CHARS_MIN} characters or more, and at most {most} bytes.");
        return Err(GraphError::bad_request(message).about(NAME));
    }
    Ok(password)
}

/// Least characters of a password.
const PASSWORD_CHARS_MIN: usize = 8;
