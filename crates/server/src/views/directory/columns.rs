//! The columns that hold the properties of users and groups.

use cloudpc_store::{ListColumn, ListValue, group_columns as group, user_columns as user};
use serde_json::{Value, json};

use crate::pipeline::list::ListProperty;

/// Returns how the store holds a property of users that a filter names; none if it cannot select by
/// it.
pub fn user_property(path: &str) -> Option<ListProperty> {
    Some(match path {
        "accountEnabled" => flag(user::ENABLED),
        "createdDateTime" => ListProperty::Time { column: user::CREATED_AT, nullable: true },
        "department" => optional(user::DEPARTMENT),
        "jobTitle" => optional(user::JOB_TITLE),
        "mailNickname" => optional(user::MAIL_NICKNAME),
        "usageLocation" => optional(user::USAGE_LOCATION),
        _ => return basic_user_property(path),
    })
}

/// The same for the properties that every caller sees of every user.
pub fn basic_user_property(path: &str) -> Option<ListProperty> {
    Some(match path {
        "id" => ListProperty::Guid(user::ID),
        "displayName" => ListProperty::text(user::DISPLAY_NAME),
        "givenName" => optional(user::GIVEN_NAME),
        "mail" => ListProperty::AnyCase { column: user::MAIL, nullable: true },
        "surname" => optional(user::SURNAME),
        "userPrincipalName" => ListProperty::AnyCase { column: user::USER_PRINCIPAL_NAME, nullable: false },
        _ => return None,
    })
}

/// Returns how the store holds a property of groups that a filter names; none if it cannot select
/// by it.
pub fn group_property(path: &str) -> Option<ListProperty> {
    Some(match path {
        "id" => ListProperty::Guid(group::ID),
        "createdDateTime" => ListProperty::Time { column: group::CREATED_AT, nullable: false },
        "description" => optional(group::DESCRIPTION),
        "displayName" => ListProperty::text(group::DISPLAY_NAME),
        "mailEnabled" => flag(group::MAIL_ENABLED),
        "mailNickname" => ListProperty::text(group::MAIL_NICKNAME),
        "securityEnabled" => flag(group::SECURITY_ENABLED),
        _ => return None,
    })
}

fn optional(column: ListColumn) -> ListProperty {
    ListProperty::Text { column, folded: None, nullable: true }
}

fn flag(column: ListColumn) -> ListProperty {
    let shown = [0, 1].map(|stored| (ListValue::Integer(stored), json!(stored == 1)));
    ListProperty::Choice { column, shown: shown.to_vec(), others: Value::Null }
}
