//! The SQL that SQLite and PostgreSQL do not share, as SQLite says it. All other SQL of the store
//! is valid in both. These are macros because the statements are literals.

/// Joins the table that follows and reads it in the order of the tables: for each row of the left
/// one, its rows of the right one.
macro_rules! join_in_order {
    () => {
        "CROSS JOIN"
    };
}
pub(crate) use join_in_order;

/// The text of a member of a column that holds a JSON object.
macro_rules! json_text {
    ($column:literal, $member:literal) => {
        concat!($column, " ->> '", $member, "'")
    };
}
pub(crate) use json_text;

/// The elements of a parameter that holds a JSON array of texts, for `IN`.
macro_rules! json_values {
    ($parameter:literal) => {
        concat!("(SELECT value FROM json_each(", $parameter, "))")
    };
}
pub(crate) use json_values;

/// The greater of two values.
macro_rules! greater {
    ($one:literal, $other:literal) => {
        concat!("max(", $one, ", ", $other, ")")
    };
}
pub(crate) use greater;

/// The lesser of two values.
macro_rules! lesser {
    ($one:literal, $other:literal) => {
        concat!("min(", $one, ", ", $other, ")")
    };
}
pub(crate) use lesser;

/// What follows the first `@` in a column: the domain of a user's name. As the index spells it.
macro_rules! after_at {
    ($column:literal) => {
        concat!("substr(", $column, ", instr(", $column, ", '@') + 1)")
    };
}
pub(crate) use after_at;

/// The highest number that an action was ever given; zero if there was none.
pub(crate) const ACTION_NUMBER_LAST: &str = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'actions'";

/// Has the next action numbered beyond `?1`, if an action was numbered before. Changes no row
/// otherwise.
pub(crate) const ACTION_NUMBER_RAISE: &str = "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'actions'";

/// Has the first action numbered beyond `?1`.
pub(crate) const ACTION_NUMBER_BEGIN: &str = "INSERT INTO sqlite_sequence (name, seq) VALUES ('actions', ?1)";

/// Reads a table by an index.
pub(crate) fn read_by(table: &str, index: &str) -> String {
    format!("{table} INDEXED BY {index}")
}

/// Whether a text contains another one.
pub(crate) fn contains(text: &str, part: &str) -> String {
    format!("instr({text}, {part}) > 0")
}

/// Whether a text does not contain another one.
pub(crate) fn contains_not(text: &str, part: &str) -> String {
    format!("instr({text}, {part}) = 0")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// What only SQLite says, or what PostgreSQL means otherwise; in lower case.
    const SQLITE_ONLY: &[&str] = &[
        "rusqlite",
        "sqlite_",
        "rowid",
        "pragma",
        "cross join",
        "->>",
        "json_extract",
        "json_each",
        "json_set",
        "json_remove",
        "json_valid",
        "insert or ",
        "replace into",
        " glob ",
        " is ?",
        "ifnull(",
        "iif(",
        "instr(",
        "randomblob",
        "strftime",
        "unixepoch",
        "datetime(",
        "total(",
        "max(id) + 1",
        "indexed by",
        "collate nocase",
        "last_insert_rowid",
        "changes()",
    ];

    /// The sources of the store outside `connection`.
    fn nouns() -> Vec<PathBuf> {
        let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut found = Vec::new();
        while let Some(path) = open.pop() {
            if path.is_file() {
                found.push(path);
            } else if !path.ends_with("connection") {
                open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        found.retain(|path| !path.ends_with("connection.rs") && path.extension().is_some_and(|ending| ending == "rs"));
        found
    }

    /// Whether `max` or `min` is given two values, which PostgreSQL calls `greatest` and `least`. A
    /// method of that name is none of SQL's.
    fn has_scalar_extreme(line: &str) -> bool {
        ["max(", "min("].into_iter().any(|function| {
            line.match_indices(function).any(|(at, _)| {
                let arguments = line[at + function.len()..].split(')').next().unwrap_or_default();
                !line[..at].ends_with('.') && arguments.contains(',')
            })
        })
    }

    #[test]
    fn nouns_say_nothing_that_only_sqlite_understands() {
        let nouns = nouns();
        assert!(nouns.len() > 20, "{nouns:?}");
        for path in nouns {
            for (number, line) in (1..).zip(fs::read_to_string(&path).unwrap().to_lowercase().lines()) {
                let code = line.trim_start();
                if code.starts_with("//") {
                    continue;
                }
                let word = SQLITE_ONLY.iter().find(|word| code.contains(**word));
                assert_eq!(word, None, "{}:{number}: {code}", path.display());
                assert!(!has_scalar_extreme(code), "{}:{number}: {code}", path.display());
            }
        }
    }
}
