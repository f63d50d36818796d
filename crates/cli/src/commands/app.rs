//! `cloudpc app`: applications that can request tokens.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

use crate::commands::Session;
use crate::failure::CommandError;
use crate::output::{Column, tell, text};

const APPS: &str = "/_cloudpc/apps";

const EXAMPLES: &str = "\
Examples:
  cloudpc app create --name ci --permission CloudPC.ReadWrite.All
  cloudpc app list
  cloudpc app disable 8d7e0c1a-5a3e-4b57-9d0b-2f1c6a7e9b10";

const CREATE_EXAMPLES: &str = "\
Examples:
  cloudpc app create --name ci --permission CloudPC.ReadWrite.All
  cloudpc app create --name dashboard --permission CloudPC.Read.All -o json
  cloudpc app create --name ci --permission CloudPC.Read.All --certificate ci.pem";

/// Manage applications that can request access tokens
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Create(Create),
    List(List),
    /// Disable an application and reject its tokens immediately
    Disable(Named),
    /// Re-enable an application
    Enable(Named),
}

/// Create an application and print its credentials; the secret is shown only once
#[derive(Debug, Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub struct Create {
    /// Name of the application
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Permission to grant, for example CloudPC.Read.All; repeatable
    #[arg(long = "permission", value_name = "PERMISSION", required = true)]
    permissions: Vec<String>,
    /// Certificate with an RSA key, PEM, by which the application can sign in without its secret
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

/// List the applications
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc app list")]
pub struct List {}

const NAMED_EXAMPLES: &str = "\
Examples:
  cloudpc app disable 8d7e0c1a-5a3e-4b57-9d0b-2f1c6a7e9b10
  cloudpc app enable 8d7e0c1a-5a3e-4b57-9d0b-2f1c6a7e9b10";

/// An application, named by its client id.
#[derive(Debug, Args)]
#[command(after_help = NAMED_EXAMPLES)]
pub struct Named {
    /// Client id of the application
    #[arg(value_name = "CLIENT_ID")]
    client_id: String,
}

const CREATED_COLUMNS: &[Column] = &[
    ("TENANT", |row| text(row, "tenantId")),
    ("CLIENT ID", |row| text(row, "clientId")),
    ("CLIENT SECRET", |row| text(row, "clientSecret")),
];

const COLUMNS: &[Column] = &[
    ("NAME", |row| text(row, "name")),
    ("CLIENT ID", |row| text(row, "clientId")),
    ("PERMISSIONS", permissions),
    ("ENABLED", |row| text(row, "enabled")),
];

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        match self {
            Self::Create(Create { name, permissions, certificate }) => {
                let mut body = json!({ "name": name, "permissions": permissions });
                if let Some(path) = certificate {
                    let text = std::fs::read_to_string(&path)
                        .map_err(|error| CommandError::local(format!("Cannot read {}: {error}.", path.display())))?;
                    body["certificate"] = text.into();
                }
                session.format.row(&session.connection.post(APPS, &body).await?, CREATED_COLUMNS)?;
                tell("Store the secret now; it cannot be shown again.");
                Ok(())
            }
            Self::Disable(named) => named.change(session, false).await,
            Self::Enable(named) => named.change(session, true).await,
            Self::List(List {}) => session.format.rows(&session.connection.rows(APPS, &[], None).await?, COLUMNS),
        }
    }
}

impl Named {
    async fn change(self, session: &Session, enabled: bool) -> Result<(), CommandError> {
        let path = format!("{APPS}/{}", self.client_id);
        session.format.row(&session.connection.patch(&path, &json!({ "enabled": enabled })).await?, COLUMNS)
    }
}

fn permissions(row: &Value) -> String {
    let names = row.get("permissions").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}
