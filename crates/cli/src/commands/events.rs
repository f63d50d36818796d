//! `cloudpc events`

use clap::Args;
use cloudpc_graph::client::{ClientError, EventStream};
use serde_json::Value;
use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use crate::commands::Session;
use crate::failure::CommandError;
use crate::output::{Format, escaped, text, time};

const EXAMPLES: &str = "\
Examples:
  cloudpc events
  cloudpc events -o json | jq -c 'select(.type == \"cloudPC\")'
  cloudpc events -o json --after 3b9f1c55d0a7e642-1042";

/// Pause before the next attempt to connect again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Follow changes as they happen
///
/// Prints a line for each entity that is created, updated or deleted, until it is interrupted. It
/// continues where it was after the service has restarted.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Events {
    /// Begin after this event instead of now
    #[arg(long, value_name = "EVENT_ID")]
    after: Option<String>,
}

impl Events {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let mut last = self.after;
        let mut events = session.connection.events(last.as_deref()).await?;
        loop {
            while let Some(event) = events.next().await {
                if let Some(data) = event.data
                    && !print(&line(session.format, &event.id, &data)?)?
                {
                    return Ok(());
                }
                last = Some(event.id);
            }
            events = reconnect(session, last.as_deref()).await?;
        }
    }
}

/// Connects again, for as long as the service cannot be reached.
async fn reconnect(session: &Session, last: Option<&str>) -> Result<EventStream, CommandError> {
    loop {
        tokio::time::sleep(RETRY_PAUSE).await;
        match session.connection.events(last).await {
            Err(ClientError::Unreachable { .. }) => {}
            other => return Ok(other?),
        }
    }
}

/// Returns the line of an event: JSON with its id, or words.
fn line(format: Format, id: &str, data: &str) -> Result<String, CommandError> {
    let mut event: Value = serde_json::from_str(data)
        .map_err(|error| CommandError::local(format!("Invalid event {id}: {error}. Is this service a newer one?")))?;
    match format {
        Format::Json => {
            event["eventId"] = id.into();
            Ok(format!("{event}\n"))
        }
        Format::Table => {
            let words = [time(&event, "time"), text(&event, "change"), text(&event, "type")];
            let entity = [text(&event, "name"), text(&event, "id"), text(&event, "parent")];
            let words: Vec<_> = words.into_iter().chain(entity).filter(|word| !word.is_empty()).collect();
            Ok(format!("{}\n", escaped(&words.join("  "))))
        }
    }
}

/// Prints a line; returns false if nobody reads the output any more.
fn print(line: &str) -> Result<bool, CommandError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CommandError::local(format!("Cannot write the output: {error}."))),
        Ok(()) => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_of_words_or_json() {
        let data = r#"{"type":"cloudPC","id":"7","parent":null,"name":"a\u001bb","change":"updated","time":"2026-04-25T02:04:53.4722000Z"}"#;
        let shown = |format| line(format, "0-1", data).unwrap();
        insta::assert_snapshot!(shown(Format::Table), @r"2026-04-25 02:04:53Z  updated  cloudPC  a\u{1b}b  7");
        let json: Value = serde_json::from_str(&shown(Format::Json)).unwrap();
        assert_eq!((&json["eventId"], &json["id"], &json["parent"]), (&"0-1".into(), &"7".into(), &Value::Null));
        assert_eq!(shown(Format::Json).lines().count(), 1);
    }
}
