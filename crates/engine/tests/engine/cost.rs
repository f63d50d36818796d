//! What an action costs in the database: its transactions and statements, which do not depend on
//! the machine that runs the test.

use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_model::Params;
use cloudpc_store::WriteMode;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::world::{TestEngine, asked, settings};

/// Counts the statements of the store by the transaction that they are in.
#[derive(Clone, Default)]
struct StatementCount(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    /// Names of all transactions so far; the number of a span is its place here, from 1.
    transactions: Vec<String>,
    /// Numbers of the spans that are entered.
    entered: Vec<u64>,
    /// Statements of each transaction, with how often each was run.
    statements: BTreeMap<String, BTreeMap<String, usize>>,
}

/// Reads one text field.
struct Text(&'static str, String);

impl Visit for Text {
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == self.0 {
            self.1 = value.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }
}

impl Subscriber for StatementCount {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cloudpc_store::connection")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut name = Text("name", String::new());
        span.record(&mut name);
        let mut counts = self.0.lock().unwrap();
        counts.transactions.push(name.1);
        Id::from_u64(counts.transactions.len() as u64)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut sql = Text("sql", String::new());
        event.record(&mut sql);
        let mut counts = self.0.lock().unwrap();
        let span = counts.entered.last().map(|id| usize::try_from(*id).unwrap() - 1);
        let transaction =
            span.map_or_else(|| "reads and the change feed".to_owned(), |span| counts.transactions[span].clone());
        *counts.statements.entry(transaction).or_default().entry(sql.1).or_default() += 1;
    }
    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }
    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().entered.pop();
    }
}

impl StatementCount {
    /// Returns the transactions and statements by the name of the transaction, without those of the
    /// test. `CLOUDPC_STATEMENTS=1` prints each statement.
    fn take(&self) -> BTreeMap<String, (usize, usize)> {
        let counts = self.0.lock().unwrap();
        let mut taken = BTreeMap::new();
        for (name, statements) in counts.statements.iter().filter(|(name, _)| *name != "test.write") {
            if std::env::var_os("CLOUDPC_STATEMENTS").is_some() {
                println!("{name}: {statements:#?}");
            }
            let transactions = counts.transactions.iter().filter(|other| *other == name).count();
            taken.insert(name.clone(), (transactions, statements.values().sum()));
        }
        taken
    }
}

/// Runs this many reprovisions at the same time and counts their statements.
async fn reprovision(machines: u32) -> BTreeMap<String, (usize, usize)> {
    let count = StatementCount::default();
    let counting = tracing::subscriber::set_default(count.clone());
    let mut world = TestEngine::in_mode(WriteMode::Inline, 1, settings()).await;
    let mut ids = Vec::new();
    for number in 1..=machines {
        ids.push(world.add(number, ScriptedCondition::default()).await);
    }
    world.start();
    world.advance(Duration::from_secs(3600)).await;
    // A place in the code that another test's thread reached first counts as disabled.
    tracing::callsite::rebuild_interest_cache();
    *count.0.lock().unwrap() = Counts::default();
    for id in ids {
        let params = Params::Reprovision { os_version: None, user_account_type: None, image_id: None };
        world.engine.request(&asked(), id, params).await.unwrap();
    }
    world.idle().await;
    drop(counting);
    count.take()
}

/// The cost of ten more, each; what the engine does at times is not among it. Nothing here shares a
/// commit, as it does under load, so each transaction has its own rows of the change feed.
#[tokio::test]
async fn a_reprovision_takes_few_transactions_and_statements() {
    const MORE: u32 = 10;
    let (one, eleven) = (reprovision(1).await, reprovision(1 + MORE).await);
    let mut lines = Vec::new();
    for (name, (transactions, statements)) in &eleven {
        let (transactions_of_one, statements_of_one) = one.get(name).copied().unwrap_or_default();
        let each = |more: usize, less: usize| (more as f64 - less as f64) / f64::from(MORE);
        let (transactions, statements) =
            (each(*transactions, transactions_of_one), each(*statements, statements_of_one));
        lines.push(format!("{name}: {transactions} transactions, {statements} statements"));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    action.accept: 1 transactions, 9 statements
    action.advance: 6 transactions, 15 statements
    action.claim: 1.6 transactions, 22.4 statements
    action.decide: 1 transactions, 13 statements
    deployment.acceptAutomatic: 1 transactions, 1 statements
    reads and the change feed: 0 transactions, 38.5 statements
    undoRecord.measure: 0.6 transactions, 1.6 statements
    ");
}
