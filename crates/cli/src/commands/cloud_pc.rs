//! Commands on Cloud PCs, and what they share: lookup by name, and requesting an action.

mod actions;
mod cancel;
mod list;
mod open;
mod power;
mod reboot;
mod rename;
mod reprovision;
mod resize;
mod restore;
mod results;
mod screenshot;
mod settle;
mod snapshot;
mod troubleshoot;
mod undo;

use clap::{Args, Subcommand};
use serde_json::Value;
use std::collections::HashMap;

use crate::commands::Session;
use crate::failure::{CommandError, ExitStatus};
use crate::output::{Column, tell, text, time};
use crate::wait;

/// Path of the Cloud PCs.
pub const CLOUD_PCS: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs";

/// Columns of an action.
const ACTION_COLUMNS: &[Column] = &[
    ("ACTION", |row| text(row, "id")),
    ("KIND", |row| text(row, "kind")),
    ("STATE", |row| text(row, "state")),
    ("STEP", |row| text(row, "step")),
    ("WAITING FOR", |row| text(row, "waitsFor")),
    ("QUEUE", |row| text(row, "queuePlace")),
    ("REQUESTED BY", requested_by),
    ("REQUESTED", |row| time(row, "requestedDateTime")),
    ("UPDATED", |row| time(row, "lastUpdatedDateTime")),
    ("ERROR", |row| text(row, "errorCode")),
];

/// A command on Cloud PCs.
#[derive(Debug, Subcommand)]
pub enum Command {
    List(list::List),
    Open(open::Open),
    Screenshot(screenshot::Screenshot),
    Reprovision(reprovision::Reprovision),
    Results(results::Results),
    Actions(actions::Actions),
    Cancel(cancel::Cancel),
    Settle(settle::Settle),
    Reboot(reboot::Reboot),
    Rename(rename::Rename),
    Resize(resize::Resize),
    Restore(restore::Restore),
    Undo(undo::Undo),
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    #[command(subcommand)]
    Power(power::Command),
    Troubleshoot(troubleshoot::Troubleshoot),
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        match self {
            Self::List(verb) => verb.run(session).await,
            Self::Open(verb) => verb.run(session).await,
            Self::Screenshot(verb) => verb.run(session).await,
            Self::Reprovision(verb) => verb.run(session).await,
            Self::Results(verb) => verb.run(session).await,
            Self::Actions(verb) => verb.run(session).await,
            Self::Cancel(verb) => verb.run(session).await,
            Self::Settle(verb) => verb.run(session).await,
            Self::Reboot(verb) => verb.run(session).await,
            Self::Rename(verb) => verb.run(session).await,
            Self::Resize(verb) => verb.run(session).await,
            Self::Restore(verb) => verb.run(session).await,
            Self::Undo(verb) => verb.run(session).await,
            Self::Snapshot(verb) => verb.run(session).await,
            Self::Power(verb) => verb.run(session).await,
            Self::Troubleshoot(verb) => verb.run(session).await,
        }
    }
}

/// A remote action on one Cloud PC.
#[derive(Debug, Args)]
pub struct Request {
    /// Display name, device name or id of the Cloud PC
    #[arg(value_name = "CLOUD_PC")]
    cloud_pc: String,
    /// Wait until the action has ended; the exit code tells the result
    #[arg(long)]
    wait: bool,
}

impl Request {
    /// Requests the action `verb` (its name in the path) and prints it: as accepted, or with
    /// `--wait` as ended.
    pub async fn make(&self, session: &Session, verb: &str, body: &Value) -> Result<(), CommandError> {
        let found = find(session, &self.cloud_pc).await?;
        session.connection.post(&format!("{CLOUD_PCS}/{}/{verb}", found.id), body).await?;
        let verb = verb.strip_prefix("cloudpc.").unwrap_or(verb);
        // Only one remote action can be open, so the newest of this kind is the one that was just
        // accepted.
        let actions = actions_of(session, &found.id).await?;
        let newest = actions.into_iter().find(|action| text(action, "kind") == verb);
        let Some(action) = newest else {
            return Err(CommandError::new(
                ExitStatus::Unreachable,
                format!(
                    "The service accepted the {verb} but does not list it. Check `cloudpc actions {}`.",
                    found.name
                ),
            ));
        };
        if !self.wait {
            session.format.row(&action, ACTION_COLUMNS)?;
            tell(&format!("Accepted. Follow it with `cloudpc results {}`.", found.name));
            return Ok(());
        }
        let ended = wait::action(session, &found, &text(&action, "id")).await?;
        session.format.row(&ended, ACTION_COLUMNS)?;
        match text(&ended, "state").as_str() {
            "done" => Ok(()),
            state => Err(CommandError::local(format!(
                "The {verb} of {} ended with state {state}: {}",
                found.name,
                why(&ended)
            ))),
        }
    }
}

/// A Cloud PC found by name.
pub struct Found {
    pub id: String,
    /// The name that the user gave, for messages.
    pub name: String,
}

/// Finds a Cloud PC by id, display name or device name.
pub async fn find(session: &Session, name: &str) -> Result<Found, CommandError> {
    if is_guid(name) {
        return Ok(Found { id: name.to_owned(), name: name.to_owned() });
    }
    let quoted = name.replace('\'', "''");
    let filter = format!("displayName eq '{quoted}' or managedDeviceName eq '{quoted}'");
    let rows = session.connection.rows(CLOUD_PCS, &[("$filter", &filter)], None).await?;
    match rows.as_slice() {
        [one] => Ok(Found { id: text(one, "id"), name: name.to_owned() }),
        [] => Err(CommandError::new(
            ExitStatus::NotFound,
            format!("No Cloud PC is named '{name}'. Run `cloudpc list` to see all names."),
        )),
        several => Err(CommandError::new(ExitStatus::NotFound, ambiguous(name, several))),
    }
}

/// The display name of each Cloud PC, by its id.
pub async fn names(session: &Session) -> Result<HashMap<String, String>, CommandError> {
    let rows = session.connection.rows(CLOUD_PCS, &[("$select", "id,displayName")], None).await?;
    Ok(rows.iter().map(|row| (text(row, "id"), text(row, "displayName"))).collect())
}

fn ambiguous(name: &str, rows: &[Value]) -> String {
    let line = |row| {
        format!("\n  {}  {}  {}", text(row, "id"), text(row, "managedDeviceName"), text(row, "userPrincipalName"))
    };
    let lines: String = rows.iter().map(line).collect();
    format!("{} Cloud PCs are named '{name}'. Use an id or device name instead:{lines}", rows.len())
}

/// The actions on a Cloud PC, newest first.
async fn actions_of(session: &Session, cloud_pc: &str) -> Result<Vec<Value>, CommandError> {
    session.connection.rows(&format!("{CLOUD_PCS}/{cloud_pc}/cloudpc.actions"), &[], Some(100)).await
}

/// The reason why an action failed, for people.
fn why(action: &Value) -> String {
    match (text(action, "errorMessage"), text(action, "errorCode")) {
        (message, code) if message.is_empty() && code.is_empty() => "no reason was given.".to_owned(),
        (message, code) if code.is_empty() => message,
        (message, code) => format!("{message} ({code})"),
    }
}

fn requested_by(action: &Value) -> String {
    match text(action, "requestedBy/userPrincipalName") {
        user if user.is_empty() => text(action, "requestedBy/appName"),
        user => user,
    }
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::json;

    #[test]
    fn only_guids_are_treated_as_ids() {
        assert!(is_guid("c0de0000-0000-4000-8000-00000000C0DE"));
        for other in ["", "desk-07", "c0de0000-0000-4000-8000-00000000c0dg", "c0de0000x0000-4000-8000-00000000c0de"] {
            assert!(!is_guid(other), "{other}");
        }
    }

    #[test]
    fn ambiguous_name_lists_candidates() {
        let row =
            |id| json!({"id": id, "managedDeviceName": format!("CPC-{id}"), "userPrincipalName": "ada@contoso.test"});
        assert_snapshot!(ambiguous("desk", &[row("1"), row("2")]), @"
        2 Cloud PCs are named 'desk'. Use an id or device name instead:
          1  CPC-1  ada@contoso.test
          2  CPC-2  ada@contoso.test
        ");
    }

    #[test]
    fn failure_reason_is_shown() {
        assert_snapshot!(why(&json!({"errorCode": "imageGone", "errorMessage": "There is no such image."})), @"There is no such image. (imageGone)");
        assert_snapshot!(why(&json!({"errorCode": null})), @"no reason was given.");
    }
}
