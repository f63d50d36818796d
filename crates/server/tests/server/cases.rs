//! One valid request of every registered operation. The tests of failures derive from it the
//! requests that must be refused.

mod directory;
mod reports;
mod virtual_endpoint;

use cloudpc_server::operations::ALL;
use serde_json::Value;

use crate::document_cases;
use crate::world::Who;

/// A valid request of an operation. `{…}` in the path stands for an existing id.
pub struct Case {
    pub key: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    /// A valid body, for an operation that requires one.
    pub body: Option<Value>,
    /// A property of the body and a value of a wrong type.
    pub wrong: Option<(&'static str, Value)>,
    /// Whether an empty body is right too.
    pub optional: bool,
}

/// Operations on what no role definition, assignment or action has.
pub const IS_NEVER_FOUND: &[&str] = &[
    "authenticationContext.get",
    "directoryScopes.get",
    "inheritsPermissionsFrom.assignedPrincipals",
    "inheritsPermissionsFrom.get",
];

fn case(key: &'static str, request: &'static str) -> Case {
    let (method, path) = request.split_once(' ').unwrap();
    Case { key, method, path, body: None, wrong: None, optional: false }
}

impl Case {
    pub fn of_document(
        key: &'static str,
        method: &'static str,
        path: &'static str,
        body: Option<Value>,
        wrong: Option<(&'static str, Value)>,
        optional: bool,
    ) -> Self {
        Self { key, method, path, body, wrong, optional }
    }

    fn with(self, body: Value, property: &'static str, wrong: Value) -> Self {
        Self { body: Some(body), wrong: Some((property, wrong)), ..self }
    }

    /// Adds an optional body.
    fn with_optional(self, property: &'static str, wrong: Value) -> Self {
        Self { wrong: Some((property, wrong)), ..self }
    }

    pub fn changes_something(&self) -> bool {
        self.method != "GET" && !self.reads_by_post()
    }

    /// Whether it reads although it is a POST.
    pub fn reads_by_post(&self) -> bool {
        self.key.starts_with("reports.") || self.key.starts_with("report.") || self.key == "cloudPC.validateBulkResize"
    }

    /// Returns a caller with the permissions for the operation.
    pub fn writer(&self) -> Who {
        writer(self.key)
    }

    pub fn takes_body(&self) -> bool {
        matches!(self.method, "POST" | "PATCH")
    }
}

/// Returns a caller of the first tenant with the permissions for an operation: an application,
/// unless the operation is for users only.
pub fn writer(key: &str) -> Who {
    let is_for_users = ALL.get(key).is_some_and(|row| row.access.application.is_empty());
    if is_for_users { Who::Ada } else { Who::Writer }
}

pub fn cases() -> Vec<Case> {
    virtual_endpoint::cases()
        .into_iter()
        .chain(directory::cases())
        .chain(reports::cases())
        .chain(document_cases::cases())
        .collect()
}
