//! The change feed: a row for each entity that a transaction has changed, numbered for each tenant
//! in the order of the commits.
//!
//! A transaction notes what it changes ([`Tx::changed`]); the rows are written as the last thing
//! before the commit, once for everything that shares it. A client keeps its position in the feed
//! ([`FeedPosition`]) and reads on from there ([`Reader::changes_after`]). The feed says which
//! entity has changed, not how: an entity that changes several times in one commit has one row.
//!
//! Rows are deleted after a while, and numbers may repeat after the database was replaced by an
//! older copy or a scenario was loaded; a position from before that is refused
//! ([`ResyncRequired`]).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, OnceLock};

use cloudpc_model::{Change, ChangeKind, Clock, EntityType, TenantId, Timestamp};
use tokio::sync::watch;

use crate::connection::{Row, Value, params};
use crate::counters::Counter;
use crate::rows::{self, Columns, word};
use crate::{Reader, Store, StoreError, Tx};

/// Rows that one statement inserts. Fewer are inserted one by one.
const ROWS_PER_STATEMENT: usize = 16;

/// Columns of a row.
const WIDTH: usize = 8;

/// The setting that holds the epoch of the feed: 16 hexadecimal digits.
const EPOCH: &str = "changes.epoch";

/// A place in the change feed of a tenant: after the change with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedPosition {
    /// Changes whenever numbers may repeat.
    pub epoch: u64,
    /// Number of the change; zero before the first.
    pub number: i64,
}

impl fmt::Display for FeedPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.number)
    }
}

/// A text is not a position as [`FeedPosition`] displays it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position in the change feed")]
pub struct InvalidFeedPosition;

impl FromStr for FeedPosition {
    type Err = InvalidFeedPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, number) = text.split_once('-').ok_or(InvalidFeedPosition)?;
        let position = Self {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| InvalidFeedPosition)?,
            number: number.parse().map_err(|_| InvalidFeedPosition)?,
        };
        // One position has one spelling.
        if position.to_string() == text { Ok(position) } else { Err(InvalidFeedPosition) }
    }
}

/// The feed does not reach back to a position: rows after it were deleted, or the position is from
/// another epoch. The client has to read everything anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResyncRequired;

/// A row of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its number within the tenant.
    pub number: i64,
    /// Time of the commit.
    pub at: Timestamp,
    /// What has changed.
    pub change: Change,
}

/// The changes that a transaction has noted: one for each entity.
#[derive(Default)]
pub(crate) struct NotedChanges {
    changes: BTreeMap<(TenantId, EntityType, String, String), (ChangeKind, String)>,
    /// Whether the feed begins anew after this transaction, so that it tells of nothing in it.
    begins_anew: bool,
}

impl NotedChanges {
    fn note(&mut self, tenant: TenantId, change: Change) {
        if self.begins_anew {
            return;
        }
        let Change { entity_type, parent, id, name, kind } = change;
        self.changes
            .entry((tenant, entity_type, parent, id))
            .and_modify(|(noted, known)| {
                *noted = noted.then(kind);
                if !name.is_empty() {
                    known.clone_from(&name);
                }
            })
            .or_insert((kind, name));
    }

    /// Adds what a later transaction has noted.
    pub(crate) fn append(&mut self, later: Self) {
        if later.begins_anew {
            // It has noted nothing since, and what was noted before is gone.
            *self = Self::default();
        }
        for ((tenant, entity_type, parent, id), (kind, name)) in later.changes {
            self.note(tenant, Change { entity_type, parent, id, name, kind });
        }
    }
}

/// What the feed has beside its rows: its clock, and the positions of its latest commits.
#[derive(Clone, Default)]
pub(crate) struct Feed {
    clock: Arc<OnceLock<Arc<dyn Clock>>>,
    heads: watch::Sender<HashMap<TenantId, FeedPosition>>,
}

impl Feed {
    /// Tells those who wait of the positions that a commit has reached.
    pub(crate) fn signal(&self, heads: Vec<(TenantId, FeedPosition)>) {
        if !heads.is_empty() {
            self.heads.send_modify(|known| known.extend(heads));
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.get().map_or(Timestamp(0), |clock| clock.now())
    }
}

impl Store {
    /// Sets the clock that times changes, once. Without one, changes have the time 0.
    pub fn set_clock(&self, clock: Arc<dyn Clock>) {
        // The first clock stays: times of a feed come from one clock.
        let _ = self.feed().clock.set(clock);
    }

    /// The latest position of each tenant's feed that a commit has reached since the store was
    /// opened. Its value changes after every commit with changes; wait for that, compare the
    /// tenant's position with the one you have, and read [`Reader::changes_after`].
    pub fn change_heads(&self) -> watch::Receiver<HashMap<TenantId, FeedPosition>> {
        self.feed().heads.subscribe()
    }
}

impl Reader<'_> {
    /// Returns the position at the end of a tenant's feed.
    pub fn change_head(&self, tenant: TenantId) -> Result<FeedPosition, StoreError> {
        let number = self.last_number(tenant, Counter::Change, tenant.0)?;
        Ok(FeedPosition { epoch: self.change_epoch()?.unwrap_or_default(), number })
    }

    /// Returns up to `limit` rows of a tenant's feed after a position, oldest first. The position
    /// after a row is the row's number in the same epoch.
    pub fn changes_after(
        &self,
        tenant: TenantId,
        position: FeedPosition,
        limit: usize,
    ) -> Result<Result<Vec<FeedEntry>, ResyncRequired>, StoreError> {
        let head = self.change_head(tenant)?;
        if position.epoch != head.epoch || !(0..=head.number).contains(&position.number) {
            return Ok(Err(ResyncRequired));
        }
        let entries = self.rows(
            "SELECT number, at, type, id, parent, name, what FROM changes WHERE tenant_id = ?1 AND number > ?2
             ORDER BY number LIMIT ?3",
            params![tenant.0, position.number, rows::limit(limit)],
            entry,
        )?;
        let next = entries.first().map_or(head.number, |first| first.number - 1);
        // Numbers have no gaps, so a gap is what was deleted.
        Ok(if next == position.number || limit == 0 { Ok(entries) } else { Err(ResyncRequired) })
    }

    fn change_epoch(&self) -> Result<Option<u64>, StoreError> {
        let Some(text) = self.setting(EPOCH)? else { return Ok(None) };
        let epoch = std::str::from_utf8(&text).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
        let corrupt = || StoreError::Corrupt { table: "settings", what: format!("{EPOCH} is not a number") };
        epoch.map(Some).ok_or_else(corrupt)
    }
}

impl Tx<'_> {
    /// Notes that an entity has changed.
    pub(crate) fn changed(&mut self, tenant: TenantId, change: Change) {
        self.changes.note(tenant, change);
    }

    /// Notes that an entity that stands alone was updated, without its name.
    pub(crate) fn updated(&mut self, tenant: TenantId, entity_type: EntityType, id: impl ToString) {
        self.changed(tenant, Change::new(ChangeKind::Updated, entity_type, id));
    }

    /// Begins a new epoch of the feed unless there is one: `random` makes it differ from those of
    /// other databases.
    pub fn change_epoch_ensure(&mut self, random: u64) -> Result<(), StoreError> {
        if self.change_epoch()?.is_none() { self.change_epoch_put(random) } else { Ok(()) }
    }

    /// Begins a new epoch of the feed, because the database was replaced by an older copy. Older
    /// positions are refused from then on.
    pub fn change_epoch_put(&mut self, random: u64) -> Result<(), StoreError> {
        self.setting_put(EPOCH, format!("{random:016x}").as_bytes())
    }

    /// Begins a new epoch of the feed after this transaction, which deletes everything.
    pub(crate) fn changes_begin_anew(&mut self) -> Result<(), StoreError> {
        let epoch = self.change_epoch()?.unwrap_or_default();
        self.change_epoch_put(epoch.wrapping_add(1))?;
        self.changes = NotedChanges { begins_anew: true, ..NotedChanges::default() };
        Ok(())
    }

    /// Writes what was noted as rows of the feed, and returns the new position of each tenant. The
    /// last thing before a commit, because it locks the tenants' counters.
    pub(crate) fn changes_flush(
        &mut self,
        noted: &NotedChanges,
        feed: &Feed,
    ) -> Result<Vec<(TenantId, FeedPosition)>, StoreError> {
        if noted.changes.is_empty() {
            return Ok(Vec::new());
        }
        let (at, epoch) = (feed.now(), self.change_epoch()?.unwrap_or_default());
        let mut heads = Vec::new();
        let noted: Vec<_> = noted.changes.iter().collect();
        for changes in noted.chunk_by(|((one, ..), _), ((other, ..), _)| one == other) {
            let tenant = changes[0].0.0;
            let last = self.take_numbers(tenant, Counter::Change, tenant.0, rows::limit(changes.len()))?;
            let numbered: Vec<_> = (last - rows::limit(changes.len()) + 1..).zip(changes).collect();
            let whole = numbered.chunks_exact(ROWS_PER_STATEMENT);
            let rest = whole.remainder().chunks(1);
            for rows in whole.chain(rest) {
                let values: Vec<Value<'_>> = rows
                    .iter()
                    .flat_map(|(number, ((tenant, entity_type, parent, id), (kind, name)))| {
                        let row: [Value<'_>; WIDTH] = [
                            Value::Bytes(tenant.0.as_bytes()),
                            Value::Integer(*number),
                            Value::Integer(at.0),
                            Value::Text(entity_type.name()),
                            Value::Text(id),
                            Value::Text(parent),
                            Value::Text(name),
                            Value::Text(word(*kind)),
                        ];
                        row
                    })
                    .collect();
                let insert = if rows.len() == 1 { &*INSERT_ONE } else { &*INSERT_SEVERAL };
                self.execute(insert, &values)?;
            }
            heads.push((tenant, FeedPosition { epoch, number: last }));
        }
        Ok(heads)
    }

    /// Deletes up to `limit` of the oldest rows of a tenant's feed that are older than `before` or
    /// exceed the `rows_max` latest ones. Returns how many it deleted.
    pub fn changes_trim(
        &mut self,
        tenant: TenantId,
        before: Timestamp,
        rows_max: i64,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let floor = self.last_number(tenant, Counter::Change, tenant.0)?.saturating_sub(rows_max);
        let oldest: Vec<(i64, Timestamp)> = self.rows(
            "SELECT number, at FROM changes WHERE tenant_id = ?1 ORDER BY number LIMIT ?2",
            params![tenant.0, rows::limit(limit)],
            |row| Ok((row.get(0)?, Timestamp(row.get(1)?))),
        )?;
        let trimmed = oldest.iter().take_while(|(number, at)| *at < before || *number <= floor).last();
        let Some((number, _)) = trimmed else { return Ok(0) };
        self.execute("DELETE FROM changes WHERE tenant_id = ?1 AND number <= ?2", params![tenant.0, number])
    }
}

static INSERT_ONE: LazyLock<String> = LazyLock::new(|| insert(1));
static INSERT_SEVERAL: LazyLock<String> = LazyLock::new(|| insert(ROWS_PER_STATEMENT));

/// Returns the statement that inserts this many rows.
fn insert(rows: usize) -> String {
    let row = |row: usize| {
        let places: Vec<_> = (1..=WIDTH).map(|column| format!("?{}", row * WIDTH + column)).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    format!("INSERT INTO changes (tenant_id, number, at, type, id, parent, name, what) VALUES {}", rows.join(", "))
}

fn entry(row: Row<'_>) -> Result<FeedEntry, StoreError> {
    let mut columns = Columns::new(row, "changes");
    let (number, at, entity_type) = (columns.get()?, columns.time()?, columns.word()?);
    let (id, parent, name, kind) = (columns.get()?, columns.get()?, columns.get()?, columns.word()?);
    Ok(FeedEntry { number, at, change: Change { entity_type, parent, id, name, kind } })
}
