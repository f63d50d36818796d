//! `docs/API.md` lists the server's operations and result codes.

use cloudpc_engine::actions::{OnTimeout, recipe};
use cloudpc_graph::{Edm, Method, Operation, Version};
use cloudpc_model::Kind;
use cloudpc_server::documents;
use cloudpc_server::operations::{ALL, Row};
use cloudpc_server::pipeline::Access;
use cloudpc_server::rbac::{Requirement, requirement};
use cloudpc_server::reports::{Column, TABLES};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use strum::IntoEnumIterator;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/API.md");
const OPERATIONS: &str = "<!-- Written by `make docs` from the table of operations. -->\n";
const REPORTS: &str = "<!-- Written by `make docs` from the table of reports. -->\n";
const COVERAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/coverage.md");
/// Written by the walk through the contract.
const WALK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/python/walk/record.json");
const CONTRACT: &str = "<!-- Written by `make docs` from the contract and the table of operations. -->\n";
const END: &str = "<!-- The end of what `make docs` writes. -->";

/// Writes the tables instead if `UPDATE_DOCS` is set.
#[test]
fn api_page_lists_the_servers_operations_and_reports() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let mut current = page.clone();
    for (begin, table) in [(OPERATIONS, table()), (REPORTS, reports())] {
        let (before, rest) = current.split_once(begin).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        current = format!("{before}{begin}{table}{END}{after}");
    }
    if is_updating() {
        std::fs::write(PAGE, current).unwrap();
    } else {
        assert_eq!(page, current, "docs/API.md is out of date; run `make docs` to update its tables");
    }
}

/// Writes the table instead if `UPDATE_DOCS` is set.
#[test]
fn coverage_page_lists_the_operations_of_the_contract() {
    let page = std::fs::read_to_string(COVERAGE).unwrap();
    let (before, rest) = page.split_once(CONTRACT).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let current = format!("{before}{CONTRACT}{}{END}{after}", coverage());
    if is_updating() {
        std::fs::write(COVERAGE, current).unwrap();
    } else {
        assert_eq!(page, current, "docs/coverage.md is out of date; run `make docs` to update its table");
    }
}

/// What the walk through the contract has called, and what it leaves out.
#[derive(Deserialize)]
struct WalkRecord {
    /// API root, method and path of each operation, and how it was called.
    calls: Vec<(String, String, String, String)>,
    /// What the walk does not do, and why.
    exceptions: Vec<(String, String)>,
}

impl WalkRecord {
    fn read() -> Self {
        let text = std::fs::read_to_string(WALK).unwrap();
        serde_json::from_str(&text).expect("the walk writes its record as JSON")
    }

    /// Returns how an operation was called. The walk calls what the page says is served, so a new
    /// operation is on the page before it is in the record.
    fn call(&self, version: Version, operation: &Operation) -> &str {
        let key = (version.segment(), operation.method.name(), operation.path.as_str());
        let found = self.calls.iter().find(|(root, method, path, _)| (&**root, &**method, &**path) == key);
        match found {
            Some((.., how)) => how,
            None if is_updating() => "not called",
            None => panic!("the walk has no call of {key:?}; run `make docs`, and the walk with UPDATE_DOCS=1"),
        }
    }
}

/// Whether the pages are written and not checked.
fn is_updating() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

/// Returns the table of the contract's operations, with their counts before it and what the walk
/// leaves out after it.
fn coverage() -> String {
    let walk = WalkRecord::read();
    let mut rows = BTreeMap::<(String, &str), ([&str; 2], &Operation)>::new();
    for (place, edm) in [Edm::of(Version::V1), Edm::of(Version::Beta)].into_iter().enumerate() {
        for operation in edm.operations.iter().filter(|operation| !operation.extension) {
            let row = rows.entry((operation.path.clone(), operation.method.name()));
            row.or_insert_with(|| ([""; 2], operation)).0[place] = walk.call(edm.version, operation);
        }
    }
    let listed = rows.values().map(|(calls, _)| calls.iter().filter(|call| !call.is_empty()).count()).sum::<usize>();
    assert!(is_updating() || walk.calls.len() == listed, "the walk has calls of operations that the contract lacks");
    let served = rows.values().filter(|(_, operation)| is_served(operation)).count();
    let mut table = format!(
        "\n{served} operations are served, and {} answer 405.\n\n| method | path | v1.0 | beta | answer | role |\n| --- | --- | --- | --- | --- | --- |\n",
        rows.len() - served
    );
    for ((path, method), ([v1, beta], operation)) in &rows {
        let (answer, role) = if is_served(operation) { ("served", role(operation)) } else { ("405", String::new()) };
        table += &format!("| {method} | `{path}` | {v1} | {beta} | {answer} | {role} |\n");
    }
    table += "\n## What the walk leaves out\n\n| what | why |\n| --- | --- |\n";
    table.extend(walk.exceptions.iter().map(|(what, why)| format!("| {what} | {why} |\n")));
    table + "\n"
}

/// Whether an operation does not answer 405. Below a user, documents can only be read.
fn is_served(operation: &Operation) -> bool {
    let is_document = documents::keys().any(|(key, _)| key == operation.key);
    let is_closed = is_document && operation.path.starts_with("/users/") && operation.method != Method::Get;
    ALL.contains_key(operation.key.as_str()) && !is_closed
}

/// Returns the resource action that an operation requires.
fn role(operation: &Operation) -> String {
    match requirement(&operation.key) {
        Some(Requirement::Scoped(action)) => format!("`{action}`"),
        Some(Requirement::Unscoped(action)) => format!("`{action}` (all)"),
        Some(Requirement::Exempt(_)) | None => String::new(),
    }
}

/// Returns the table of reports. Columns of ours are in italics.
fn reports() -> String {
    let mut table = String::from("| report | columns | rows |\n| --- | --- | --- |\n");
    for report in TABLES {
        let column = |column: &Column| match column.inferred {
            true => format!("*{}*", column.name),
            false => format!("`{}`", column.name),
        };
        let columns = report.columns.iter().map(column).collect::<Vec<_>>().join(", ");
        let rows = report.no_source.map_or_else(|| "yes".to_owned(), |reason| format!("none: {reason}"));
        table += &format!("| `{}` | {columns} | {rows} |\n", report.name);
    }
    table
}

#[test]
fn api_page_explains_every_result_code() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let mut codes = BTreeSet::new();
    for step in Kind::iter().flat_map(|kind| recipe(kind).steps) {
        codes.insert(step.code);
        if let OnTimeout::Fail(code, _) = step.on_timeout {
            codes.insert(code);
        }
    }
    codes.extend(cloudpc_engine::actions::DEPLOY_ERROR_CODES);
    let unexplained: Vec<_> = codes.iter().filter(|code| !page.contains(&format!("| `{code}` |"))).collect();
    assert_eq!(unexplained, Vec::<&&str>::new());
}

fn table() -> String {
    let mut table = String::from("| | path | roots | permission |\n| --- | --- | --- | --- |\n");
    let mut lines: Vec<_> = ALL.values().map(line).collect();
    lines.sort();
    table.extend(lines.into_iter().map(|(_, line)| line));
    table
}

/// Returns the line of an operation and its sort key. The page lists further roots separately.
fn line(row: &Row) -> ((String, &'static str), String) {
    let of = |version| Edm::of(version).operations.iter().find(|operation| operation.key == row.key);
    let (beta, v1) = (of(Version::Beta), of(Version::V1));
    let operation = beta.or(v1).unwrap();
    let roots = match (beta, v1) {
        (Some(_), Some(_)) => "both",
        (Some(_), None) => "beta",
        _ => "v1.0",
    };
    let path = operation.path.replace("/deviceManagement/virtualEndpoint", "…");
    let method = operation.method.name();
    let line = format!("| {method} | `{path}` | {roots} | {} |\n", permission(row.access));
    ((path, method), line)
}

/// Returns the least permission that suffices, and further requirements.
fn permission(access: &Access) -> String {
    let weakest = access.application.first().or_else(|| access.delegated.first()).unwrap();
    match (access.application_on_users, access.strict_roles) {
        _ if access.application.is_empty() => format!("`{weakest}`; delegated only"),
        (_, Some(roles)) => format!("`{weakest}`; strict: role {}", roles.join(" or ")),
        (false, _) => format!("`{weakest}`; below users: delegated only"),
        _ => format!("`{weakest}`"),
    }
}
