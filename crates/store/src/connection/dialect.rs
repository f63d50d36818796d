//! What SQLite and PostgreSQL say differently. All other SQL of the store is valid in both.
//!
//! A statement names it, as in `#greater(a|b)`, and each database replaces the name by its own
//! words when it prepares the statement. The macros are for statements that are literals.

use std::borrow::Cow;

/// Joins the table that follows and reads it in the order of the tables: for each row of the left
/// one, its rows of the right one.
macro_rules! join_in_order {
    () => {
        "#join_in_order()"
    };
}
pub(crate) use join_in_order;

/// The text of a member of a column that holds a JSON object.
macro_rules! json_text {
    ($column:literal, $member:literal) => {
        concat!("#json_text(", $column, "|", $member, ")")
    };
}
pub(crate) use json_text;

/// The elements of a parameter that holds a JSON array of texts, for `IN`.
macro_rules! json_values {
    ($parameter:literal) => {
        concat!("#json_values(", $parameter, ")")
    };
}
pub(crate) use json_values;

/// The greater of two values.
macro_rules! greater {
    ($one:literal, $other:literal) => {
        concat!("#greater(", $one, "|", $other, ")")
    };
}
pub(crate) use greater;

/// The lesser of two values.
macro_rules! lesser {
    ($one:literal, $other:literal) => {
        concat!("#lesser(", $one, "|", $other, ")")
    };
}
pub(crate) use lesser;

/// What follows the first `@` in a column: the domain of a user's name. As the index spells it.
macro_rules! after_at {
    ($column:literal) => {
        concat!("#after_at(", $column, ")")
    };
}
pub(crate) use after_at;

/// The highest number that an action was ever given; zero if there was none.
pub(crate) const ACTION_NUMBER_LAST: &str = "#action_number_last()";

/// Has the next action numbered beyond `?1`, if an action was numbered before. Changes no row
/// otherwise.
pub(crate) const ACTION_NUMBER_RAISE: &str = "#action_number_raise()";

/// Has the first action numbered beyond `?1`.
pub(crate) const ACTION_NUMBER_BEGIN: &str = "#action_number_begin()";

/// Reads a table by an index.
pub(crate) fn read_by(table: &str, index: &str) -> String {
    format!("#read_by({table}|{index})")
}

/// Whether a text contains another one.
pub(crate) fn contains(text: &str, part: &str) -> String {
    format!("#contains({text}|{part})")
}

/// Whether a text does not contain another one.
pub(crate) fn contains_not(text: &str, part: &str) -> String {
    format!("#contains_not({text}|{part})")
}

/// The language of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Returns a statement in this language.
    pub(super) fn text(self, sql: &str) -> Cow<'_, str> {
        let named = match sql.contains('#') {
            true => Cow::Owned(self.with_names_replaced(sql)),
            false => Cow::Borrowed(sql),
        };
        match self {
            Self::Sqlite => named,
            // The parameters are numbered in both, and no text of a statement has a question mark.
            Self::Postgres => Cow::Owned(named.replace('?', "$")),
        }
    }

    fn with_names_replaced(self, sql: &str) -> String {
        let mut text = String::with_capacity(sql.len() + 64);
        let mut rest = sql;
        while let Some((before, named)) = rest.split_once('#') {
            text.push_str(before);
            let (name, after) = named.split_once('(').expect("a name is followed by its arguments");
            let end = end_of_arguments(after);
            let arguments: Vec<_> = after[..end].split('|').collect();
            text.push_str(&self.words(name, &arguments));
            rest = &after[end + 1..];
        }
        text + rest
    }

    fn words(self, name: &str, arguments: &[&str]) -> String {
        match (self, name, arguments) {
            (Self::Sqlite, "join_in_order", _) => "CROSS JOIN".into(),
            (Self::Postgres, "join_in_order", _) => "JOIN".into(),
            (Self::Sqlite, "json_text", [column, member]) => format!("{column} ->> '{member}'"),
            (Self::Postgres, "json_text", [column, member]) => format!("({column})::jsonb ->> '{member}'"),
            (Self::Sqlite, "json_values", [parameter]) => format!("(SELECT value FROM json_each({parameter}))"),
            (Self::Postgres, "json_values", [parameter]) => {
                format!("(SELECT jsonb_array_elements_text({parameter}::jsonb))")
            }
            (Self::Sqlite, "greater", [one, other]) => format!("max({one}, {other})"),
            (Self::Postgres, "greater", [one, other]) => format!("greatest({one}, {other})"),
            (Self::Sqlite, "lesser", [one, other]) => format!("min({one}, {other})"),
            (Self::Postgres, "lesser", [one, other]) => format!("least({one}, {other})"),
            (Self::Sqlite, "after_at", [column]) => format!("substr({column}, instr({column}, '@') + 1)"),
            (Self::Postgres, "after_at", [column]) => format!("substr({column}, strpos({column}, '@') + 1)"),
            (Self::Sqlite, "read_by", [table, index]) => format!("{table} INDEXED BY {index}"),
            // Its planner knows how selective an index is.
            (Self::Postgres, "read_by", [table, _]) => (*table).into(),
            (Self::Sqlite, "contains", [text, part]) => format!("instr({text}, {part}) > 0"),
            (Self::Postgres, "contains", [text, part]) => format!("strpos({text}, {part}) > 0"),
            (Self::Sqlite, "contains_not", [text, part]) => format!("instr({text}, {part}) = 0"),
            (Self::Postgres, "contains_not", [text, part]) => format!("strpos({text}, {part}) = 0"),
            (Self::Sqlite, "action_number_last", _) => {
                "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'actions'".into()
            }
            (Self::Postgres, "action_number_last", _) => {
                "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM actions_id_seq".into()
            }
            (Self::Sqlite, "action_number_raise", _) => {
                "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'actions'".into()
            }
            (Self::Postgres, "action_number_raise", _) => {
                "SELECT setval('actions_id_seq', greatest(last_value, ?1), true) FROM actions_id_seq WHERE is_called"
                    .into()
            }
            (Self::Sqlite, "action_number_begin", _) => {
                "INSERT INTO sqlite_sequence (name, seq) VALUES ('actions', ?1)".into()
            }
            (Self::Postgres, "action_number_begin", _) => {
                "SELECT setval('actions_id_seq', greatest(?1, 1), ?1 > 0)".into()
            }
            (_, name, _) => unreachable!("no dialect has the name {name} with {} arguments", arguments.len()),
        }
    }
}

/// Returns where the parenthesis that was opened before is closed.
fn end_of_arguments(text: &str) -> usize {
    let mut depth = 1;
    let closes = |(_, letter): &(usize, char)| {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    };
    text.char_indices().find(closes).expect("the parenthesis of the arguments is closed").0
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// What only SQLite says, or what PostgreSQL means otherwise; in lower case.
    const SQLITE_ONLY: &[&str] = &[
        "rusqlite",
        "sqlite_sequence",
        "sqlite_schema",
        "sqlite_master",
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
