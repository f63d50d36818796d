//! Prepared statements. Their parameters have the types of the values that are bound; the type of a
//! null is the one that PostgreSQL finds.

use std::collections::HashMap;

use postgres::types::Type;
use postgres::{Client, Statement};

use super::super::Value;
use super::super::dialect::Dialect;

/// Most prepared statements of a session. It has fewer texts, each with few combinations of nulls.
const STATEMENTS_MAX: usize = 1_024;

/// The prepared statements of a session.
#[derive(Default)]
pub(super) struct Statements {
    by_text: HashMap<String, Vec<(Vec<Kind>, Statement)>>,
    count: usize,
}

/// What decides the type of a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Integer,
    Text,
    Bytes,
}

impl Kind {
    fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(_) => Self::Integer,
            Value::Text(_) => Self::Text,
            Value::Bytes(_) => Self::Bytes,
        }
    }

    fn as_type(self) -> Type {
        match self {
            Self::Null => Type::UNKNOWN,
            Self::Integer => Type::INT8,
            Self::Text => Type::TEXT,
            Self::Bytes => Type::BYTEA,
        }
    }
}

impl Statements {
    /// Returns a statement for values of these kinds, and keeps it.
    pub(super) fn prepared(
        &mut self,
        client: &mut Client,
        sql: &str,
        params: &[Value<'_>],
    ) -> Result<Statement, postgres::Error> {
        let known = self
            .by_text
            .get(sql)
            .and_then(|known| known.iter().find(|(kinds, _)| kinds.iter().copied().eq(params.iter().map(Kind::of))));
        if let Some((_, statement)) = known {
            return Ok(statement.clone());
        }
        let statement = prepare(client, sql, params)?;
        if self.count == STATEMENTS_MAX {
            *self = Self::default();
        }
        let kinds = params.iter().map(Kind::of).collect();
        self.by_text.entry(sql.to_owned()).or_default().push((kinds, statement.clone()));
        self.count += 1;
        Ok(statement)
    }
}

/// Prepares a statement for values of these kinds.
pub(super) fn prepare(client: &mut Client, sql: &str, params: &[Value<'_>]) -> Result<Statement, postgres::Error> {
    let types: Vec<_> = params.iter().map(|value| Kind::of(value).as_type()).collect();
    client.prepare_typed(&Dialect::Postgres.text(sql), &types)
}
