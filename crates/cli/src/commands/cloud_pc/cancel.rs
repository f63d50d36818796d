//! `cloudpc cancel`

use clap::Args;
use serde_json::Value;

use crate::commands::Session;
use crate::commands::cloud_pc::{CLOUD_PCS, actions_of, find};
use crate::failure::{CommandError, ExitStatus};
use crate::output::{tell, text};

const EXAMPLES: &str = "\
Examples:
  cloudpc cancel desk-07
  cloudpc cancel desk-07 17";

/// Cancel an action on a Cloud PC
///
/// Completed steps are undone. An action that is past its point of no return cannot be canceled.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Cancel {
    /// Display name, device name or id of the Cloud PC
    #[arg(value_name = "CLOUD_PC")]
    cloud_pc: String,
    /// Number of the action; optional if only one is in progress
    #[arg(value_name = "ACTION")]
    action: Option<u64>,
}

impl Cancel {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let found = find(session, &self.cloud_pc).await?;
        let number = match self.action {
            Some(number) => number.to_string(),
            None => only_open(&found.name, &actions_of(session, &found.id).await?)?,
        };
        let path = format!("{CLOUD_PCS}/{}/cloudpc.actions/{number}/cloudpc.cancel", found.id);
        session.connection.post(&path, &Value::Null).await?;
        tell(&format!("Canceling action {number} on {}.", found.name));
        Ok(())
    }
}

/// The number of the only open action.
fn only_open(name: &str, actions: &[Value]) -> Result<String, CommandError> {
    let open: Vec<_> =
        actions.iter().filter(|action| matches!(text(action, "state").as_str(), "pending" | "running")).collect();
    match open.as_slice() {
        [one] => Ok(text(one, "id")),
        [] => Err(CommandError::new(ExitStatus::NotFound, format!("No action is in progress on {name}."))),
        several => {
            let line = |action: &&Value| {
                format!("\n  {}  {}  {}", text(action, "id"), text(action, "kind"), text(action, "state"))
            };
            let lines: String = several.iter().map(line).collect();
            Err(CommandError::new(
                ExitStatus::Usage,
                format!("{} actions are in progress on {name}. Specify one:{lines}", several.len()),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn action_is_inferred_only_if_unambiguous() {
        let action = |id: &str, state: &str| json!({"id": id, "kind": "deployAgent", "state": state});
        let of = |actions: &[Value]| only_open("desk-07", actions).map_err(|failure| failure.message);
        assert_eq!(of(&[action("2", "running"), action("1", "done")]), Ok("2".to_owned()));
        insta::assert_snapshot!(of(&[action("1", "failed")]).unwrap_err(), @"No action is in progress on desk-07.");
        insta::assert_snapshot!(of(&[action("2", "pending"), action("1", "running")]).unwrap_err(), @"
        2 actions are in progress on desk-07. Specify one:
          2  deployAgent  pending
          1  deployAgent  running
        ");
    }
}
