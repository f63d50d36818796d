//! `docs/API.md` lists the server's operations and result codes.

use cloudpc_engine::actions::{OnTimeout, recipe};
use cloudpc_graph::{Edm, Operation, Version};
use cloudpc_model::Kind;
use cloudpc_server::operations::{ALL, Row};
use cloudpc_server::pipeline::Access;
use cloudpc_server::rbac::{Requirement, requirement};
use cloudpc_server::reports::{Column, TABLES};
use std::collections::{BTreeMap, BTreeSet};
use strum::IntoEnumIterator;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/API.md");
const OPERATIONS: &str = "<!-- Written by `make docs` from the table of operations. -->\n";
const REPORTS: &str = "<!-- Written by `make docs` from the table of reports. -->\n";
const COVERAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/coverage.md");
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
    if std::env::var_os("UPDATE_DOCS").is_some() {
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
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(COVERAGE, current).unwrap();
    } else {
        assert_eq!(page, current, "docs/coverage.md is out of date; run `make docs` to update its table");
    }
}

/// Returns the table of the contract's operations, with their counts before it.
fn coverage() -> String {
    let mut rows = BTreeMap::<(String, &str), (Vec<&str>, &Operation)>::new();
    for edm in [Edm::of(Version::V1), Edm::of(Version::Beta)] {
        for operation in edm.operations.iter().filter(|operation| !operation.extension) {
            let row = rows.entry((operation.path.clone(), operation.method.name()));
            row.or_insert_with(|| (Vec::new(), operation)).0.push(edm.version.segment());
        }
    }
    let answer = |operation: &Operation| if ALL.contains_key(operation.key.as_str()) { "served" } else { "405" };
    let served = rows.values().filter(|(_, operation)| answer(operation) == "served").count();
    let mut table = format!(
        "\n{served} operations are served, and {} answer 405.\n\n| method | path | versions | answer | role |\n| --- | --- | --- | --- | --- |\n",
        rows.len() - served
    );
    for ((path, method), (versions, operation)) in &rows {
        let role = match requirement(&operation.key) {
            Some(Requirement::Scoped(action)) => format!("`{action}`"),
            Some(Requirement::Unscoped(action)) => format!("`{action}` (all)"),
            Some(Requirement::Exempt(_)) | None => String::new(),
        };
        table += &format!("| {method} | `{path}` | {} | {} | {role} |\n", versions.join(", "), answer(operation));
    }
    table + "\n"
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
