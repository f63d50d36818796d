//! `cloudpc sim fault`

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::commands::{Session, cloud_pc};
use crate::failure::CommandError;
use crate::output::{Column, tell, text};

const FAULTS: &str = "/_cloudpc/faults";

const EXAMPLES: &str = "\
Examples:
  cloudpc sim fault add --kind reprovision --nth 1 --lose-outcome
  cloudpc sim fault list
  cloudpc sim fault remove 3
  cloudpc sim fault clear";

const ADD_EXAMPLES: &str = "\
Examples:
  cloudpc sim fault add --cloud-pc desk-07 --kind deployAgent --fail checkNetworkConnectionFailed
  cloudpc sim fault add --share 10 --kind reprovision --slow-down 5000
  cloudpc sim fault add --kind reprovision --nth 1 --lose-outcome
  cloudpc sim fault add --cloud-pc desk-07 --undo --fail diskGone --message \"The old disk is gone.\"";

const COLUMNS: &[Column] = &[
    ("NUMBER", |row| text(row, "number")),
    ("CLOUD PCS", cloud_pcs),
    ("KIND", |row| text(row, "rule/kind")),
    ("STEP", |row| text(row, "rule/step")),
    ("NTH", |row| text(row, "rule/nth")),
    ("UNDO", |row| text(row, "rule/undo")),
    ("EFFECT", effect),
    ("MATCHES", |row| text(row, "matches")),
];

/// Inject faults: make steps fail, hang, slow down, lose their outcome or crash the service
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Add(Add),
    List(List),
    Remove(Remove),
    Clear(Clear),
}

/// Add a fault rule
#[derive(Debug, Args)]
#[command(after_help = ADD_EXAMPLES)]
#[command(group = ArgGroup::new("effect").required(true).args(["fail", "hang", "slow_down", "lose_outcome", "crash"]))]
pub struct Add {
    /// Match this Cloud PC; repeatable
    #[arg(long = "cloud-pc", value_name = "CLOUD_PC")]
    cloud_pcs: Vec<String>,
    /// Match this share of the Cloud PCs
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    share: Option<u8>,
    /// Match this kind of action, for example reprovision or deployAgent
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Match this step, as shown by `cloudpc actions`
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Match only the nth time that everything else matches
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    nth: Option<u32>,
    /// Match the undo of steps instead of the steps themselves
    #[arg(long)]
    undo: bool,
    /// The step fails permanently with this code
    #[arg(long, value_name = "CODE")]
    fail: Option<String>,
    /// Message of the failure
    #[arg(long, value_name = "TEXT", requires = "fail")]
    message: Option<String>,
    /// The step hangs
    #[arg(long)]
    hang: bool,
    /// The step starts this much later
    #[arg(long, value_name = "MILLISECONDS")]
    slow_down: Option<u64>,
    /// The step takes effect, but its outcome is lost
    #[arg(long)]
    lose_outcome: bool,
    /// The service crashes after the step took effect and before that is logged
    #[arg(long)]
    crash: bool,
}

/// List the fault rules with their match counts
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim fault list")]
pub struct List {}

/// Remove a fault rule
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim fault remove 3")]
pub struct Remove {
    /// Number of the rule
    #[arg(value_name = "NUMBER")]
    number: u64,
}

/// Remove all fault rules
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc sim fault clear")]
pub struct Clear {}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let connection = &session.connection;
        match self {
            Self::Add(add) => {
                let mut ids = Vec::new();
                for name in &add.cloud_pcs {
                    ids.push(cloud_pc::find(session, name).await?.id);
                }
                session.format.row(&connection.post(FAULTS, &add.rule(&ids)).await?, COLUMNS)
            }
            Self::List(List {}) => session.format.rows(&connection.rows(FAULTS, &[], None).await?, COLUMNS),
            Self::Remove(Remove { number }) => {
                connection.delete(&format!("{FAULTS}/{number}")).await?;
                tell(&format!("Removed rule {number}."));
                Ok(())
            }
            Self::Clear(Clear {}) => {
                connection.delete(FAULTS).await?;
                tell("Removed all rules.");
                Ok(())
            }
        }
    }
}

impl Add {
    /// The request body of the rule.
    fn rule(self, cloud_pcs: &[String]) -> Value {
        let effect = match (self.fail, self.slow_down) {
            (Some(code), _) => json!({ "effect": "fail", "code": code, "message": self.message.unwrap_or_default() }),
            (None, Some(by_ms)) => json!({ "effect": "slowDown", "byMs": by_ms }),
            (None, None) if self.hang => json!({ "effect": "hang" }),
            (None, None) if self.crash => json!({ "effect": "crash" }),
            (None, None) => json!({ "effect": "loseOutcome" }),
        };
        let mut rule = Map::from_iter([("undo".to_owned(), self.undo.into()), ("effect".to_owned(), effect)]);
        let optional = [
            ("cloudPcs", (!cloud_pcs.is_empty()).then(|| json!(cloud_pcs))),
            ("sharePercent", self.share.map(Value::from)),
            ("kind", self.kind.map(Value::from)),
            ("step", self.step.map(Value::from)),
            ("nth", self.nth.map(Value::from)),
        ];
        rule.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(rule)
    }
}

fn cloud_pcs(row: &Value) -> String {
    let ids = row.get("rule").and_then(|rule| rule.get("cloudPcs")).and_then(Value::as_array);
    let ids: Vec<_> = ids.into_iter().flatten().filter_map(Value::as_str).collect();
    match (ids.as_slice(), text(row, "rule/sharePercent")) {
        ([], share) if share.is_empty() => "all".to_owned(),
        ([], share) => format!("{share} %"),
        (ids, _) => ids.join(" "),
    }
}

fn effect(row: &Value) -> String {
    let effect = text(row, "rule/effect/effect");
    match (text(row, "rule/effect/code"), text(row, "rule/effect/byMs")) {
        (code, _) if !code.is_empty() => format!("{effect} {code}"),
        (_, by_ms) if !by_ms.is_empty() => format!("{effect} by {by_ms} ms"),
        _ => effect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct FaultLine {
        #[command(flatten)]
        add: Add,
    }

    fn rule(line: &str) -> String {
        let words = std::iter::once("add").chain(line.split(' '));
        FaultLine::try_parse_from(words)
            .map_or_else(|error| error.kind().to_string(), |line| line.add.rule(&[]).to_string())
    }

    #[test]
    fn options_build_the_rule() {
        insta::assert_snapshot!(rule("--share 10 --kind reprovision --slow-down 5000"), @r#"{"effect":{"byMs":5000,"effect":"slowDown"},"kind":"reprovision","sharePercent":10,"undo":false}"#);
        insta::assert_snapshot!(rule("--nth 1 --step boot --undo --fail diskGone"), @r#"{"effect":{"code":"diskGone","effect":"fail","message":""},"nth":1,"step":"boot","undo":true}"#);
        insta::assert_snapshot!(rule("--lose-outcome"), @r#"{"effect":{"effect":"loseOutcome"},"undo":false}"#);
        insta::assert_snapshot!(rule("--hang --crash"), @"an argument cannot be used with one or more of the other specified arguments");
        insta::assert_snapshot!(rule("--share 101 --hang"), @"invalid value for one of the arguments");
    }
}
