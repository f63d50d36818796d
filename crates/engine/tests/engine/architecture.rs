//! Module layers: the ledger is below the recipes, and both are below the modules that use them.

use std::fs;
use std::path::{Path, PathBuf};

const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// Returns a module's files: its own and those below it.
fn files(module: &str) -> Vec<PathBuf> {
    let mut files = vec![Path::new(SRC).join(format!("{module}.rs"))];
    if let Ok(folder) = fs::read_dir(Path::new(SRC).join(module)) {
        files.extend(folder.map(|entry| entry.unwrap().path()));
    }
    files
}

/// Returns the names of the crate's modules that a module uses.
fn used_by(module: &str) -> Vec<String> {
    let mut used = Vec::new();
    for file in files(module) {
        let text = fs::read_to_string(file).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for path in code.join(" ").split("crate::").skip(1) {
            let names = match path.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default(),
                None => {
                    path.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).next().unwrap_or_default()
                }
            };
            used.extend(names.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).map(str::to_owned));
        }
    }
    used
}

#[test]
fn ledger_and_recipes_do_not_use_the_modules_above_them() {
    let above = ["cancel", "deploy", "plan", "request", "run"];
    for module in ["actions", "ledger", "partner", "image"] {
        let used = used_by(module);
        assert!(!used.iter().any(|name| above.contains(&name.as_str())), "{module} uses {used:?}");
    }
    assert!(!used_by("ledger").iter().any(|name| name == "actions"));
    assert!(used_by("cancel").iter().any(|name| name == "actions"), "the check finds the arrows that there are");
}
