//! Dependencies between the workspace's crates.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace crates that each crate may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("graph", &[]),
    ("store", &["model"]),
    ("drivers", &["model"]),
    ("engine", &["model", "store", "drivers"]),
    ("identity", &["model", "store"]),
    ("scenario", &["model", "store", "drivers", "engine", "identity"]),
    ("server", &["model", "graph", "store", "drivers", "engine", "identity", "scenario"]),
    ("cli", &["graph", "server"]),
    ("bench", &["model", "store", "drivers", "server"]),
];

/// Packages that a crate must not depend on, directly or indirectly.
const BANNED: &[(&str, &[&str])] = &[
    ("model", &["tokio", "rusqlite", "axum", "http", "hyper", "reqwest"]),
    ("graph", &["rusqlite", "axum"]),
    ("store", &["axum", "hyper", "reqwest"]),
    ("engine", &["axum"]),
];

/// Returns cargo's metadata for this platform's packages. They are on disk, because this test was
/// built from them.
fn metadata() -> Value {
    let version = output("RUSTC", "rustc", &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let arguments = ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host];
    serde_json::from_str(&output("CARGO", "cargo", &arguments)).unwrap()
}

fn output(variable: &str, program: &str, arguments: &[&str]) -> String {
    let program = std::env::var(variable).unwrap_or_else(|_| program.into());
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap()
}

fn ours(name: &str) -> Option<String> {
    match name {
        "cloudpc" => Some("cli".into()),
        name => name.strip_prefix("cloudpc-").map(str::to_owned),
    }
}

#[test]
fn crates_depend_only_on_allowed_crates() {
    let metadata = metadata();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in list(&metadata, "packages") {
        let Some(name) = ours(text(package, "name")) else { continue };
        let normal = list(package, "dependencies").iter().filter(|dependency| dependency["kind"].is_null());
        found.insert(name, normal.filter_map(|dependency| ours(text(dependency, "name"))).collect());
    }
    for (name, uses) in &found {
        let (_, allowed) =
            ALLOWED.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name} is not in ALLOWED"));
        let forbidden: Vec<_> = uses.iter().filter(|used| !allowed.contains(&used.as_str())).collect();
        assert!(forbidden.is_empty(), "{name} uses {forbidden:?}, which ALLOWED does not list");
    }
    assert_eq!(found.len(), ALLOWED.len());
}

#[test]
fn crates_do_not_reach_banned_packages() {
    let metadata = metadata();
    let name_of: BTreeMap<&str, &str> =
        list(&metadata, "packages").iter().map(|package| (text(package, "id"), text(package, "name"))).collect();
    let normal = |dependency: &&Value| list(dependency, "dep_kinds").iter().any(|kind| kind["kind"].is_null());
    let uses: BTreeMap<&str, Vec<&str>> = list(&metadata["resolve"], "nodes")
        .iter()
        .map(|node| (text(node, "id"), list(node, "deps").iter().filter(normal).map(|to| text(to, "pkg")).collect()))
        .collect();
    for (name, banned) in BANNED {
        let start = name_of.iter().find(|(_, of)| ours(of).as_deref() == Some(name)).unwrap().0;
        let (mut reached, mut open) = (BTreeSet::new(), vec![*start]);
        while let Some(id) = open.pop() {
            if reached.insert(id) {
                // `graph` depends on reqwest only with a feature that the CLI enables.
                open.extend(uses[id].iter().filter(|to| *name != "graph" || !matches!(name_of[*to], "reqwest")));
            }
        }
        let seen: Vec<_> = reached.iter().map(|id| name_of[id]).filter(|name| banned.contains(name)).collect();
        assert!(seen.is_empty(), "{name} reaches {seen:?}");
    }
}

/// The names of write transactions that our crates give, tests excepted, with the file of each.
fn transaction_names() -> Vec<(String, String)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut open: Vec<PathBuf> =
        ["store", "engine", "identity", "scenario", "server"].map(|name| crates.join(name).join("src")).into();
    let mut names = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let calls = text.split(".write(\"").skip(1);
            let found = calls.map(|call| call.split('"').next().unwrap().to_owned());
            names.extend(found.map(|name| (name, path.display().to_string())));
        }
    }
    names.retain(|(name, _)| name != "test.write");
    names
}

#[test]
fn each_write_transaction_has_a_name_of_its_own() {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase()) && word.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let mut seen = BTreeMap::new();
    for (name, file) in transaction_names() {
        let is_noun_and_verb = name.split_once('.').is_some_and(|(noun, verb)| is_word(noun) && is_word(verb));
        assert!(is_noun_and_verb, "{file}: '{name}' is not of the form noun.verb");
        if let Some(other) = seen.insert(name.clone(), file.clone()) {
            panic!("'{name}' is the name of two transactions, in {other} and {file}");
        }
    }
    assert!(seen.contains_key("partner.delete") && seen.len() > 40, "{seen:?}");
}
