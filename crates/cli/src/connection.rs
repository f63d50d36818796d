//! Finding the service and signing in to it: by its data directory, or by the environment.

use cloudpc_graph::client::{Client, ClientError, Credentials, EventStream};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use url::Url;

use crate::failure::{CommandError, ExitStatus};

/// Default data directory.
pub const DATA_DEFAULT: &str = "./cloudpc-data";

/// `admin.json`, which the service writes to its data directory for the command line.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdminFile {
    tenant_id: String,
    client_id: String,
    client_secret: String,
    #[serde(default)]
    http_url: Option<String>,
    #[serde(default)]
    https_url: Option<String>,
}

/// An authenticated connection to a service.
pub struct ServiceConnection {
    client: Client,
}

impl ServiceConnection {
    /// Signs in. An explicit directory takes precedence over the environment, and the environment
    /// over the default directory.
    pub async fn open(data: Option<PathBuf>) -> Result<Self, CommandError> {
        let client = match (data, variable("CLOUDPC_URL")) {
            (Some(data), _) => by_directory(&data).await?,
            (None, Some(url)) => by_environment(&url)?,
            (None, None) => by_directory(Path::new(DATA_DEFAULT)).await?,
        };
        Ok(Self { client })
    }

    /// The access token of this connection.
    pub fn token(&self) -> String {
        self.client.token()
    }

    /// The URL of the service.
    pub fn address(&self) -> &str {
        self.client.address()
    }

    pub async fn get(&self, path: &str) -> Result<Value, CommandError> {
        Ok(self.client.get(path).await?)
    }

    pub async fn get_text(&self, path: &str) -> Result<String, CommandError> {
        Ok(self.client.get_text(path).await?)
    }

    pub async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, CommandError> {
        Ok(self.client.get_bytes(path).await?)
    }

    /// The changes after an event, or from now on.
    pub async fn events(&self, last: Option<&str>) -> Result<EventStream, ClientError> {
        self.client.events("/_cloudpc/events", last).await
    }

    /// The rows of a collection over all its pages, at most `limit`.
    pub async fn rows(
        &self,
        path: &str,
        query: &[(&str, &str)],
        limit: Option<usize>,
    ) -> Result<Vec<Value>, CommandError> {
        Ok(self.client.rows(path, query, limit).await?)
    }

    /// Posts JSON, or nothing if it is null.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CommandError> {
        Ok(self.client.post(path, body).await?)
    }

    pub async fn post_text(&self, path: &str, media_type: &str, body: &str) -> Result<Value, CommandError> {
        Ok(self.client.post_text(path, media_type, body).await?)
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, CommandError> {
        Ok(self.client.patch(path, body).await?)
    }

    pub async fn delete(&self, path: &str) -> Result<(), CommandError> {
        Ok(self.client.delete(path).await?)
    }
}

/// How programs other than this one reach a service over TLS.
pub struct SecureAddress {
    /// The service's HTTPS URL.
    pub https: Url,
    /// The URL at which a browser on this computer opens the sign-in pages.
    pub pages: Url,
    /// The certificate authority, PEM.
    pub authority: Vec<u8>,
}

impl SecureAddress {
    /// Finds the service like [`ServiceConnection::open`], without signing in.
    pub fn find(data: Option<PathBuf>) -> Result<Self, CommandError> {
        match (data, variable("CLOUDPC_URL")) {
            (Some(data), _) => Self::by_directory(&data),
            (None, Some(url)) => Self::by_environment(&url),
            (None, None) => Self::by_directory(Path::new(DATA_DEFAULT)),
        }
    }

    fn by_directory(data: &Path) -> Result<Self, CommandError> {
        let file = read_admin_file(data)?;
        let https = file.https_url.ok_or_else(|| {
            CommandError::new(
                ExitStatus::Unreachable,
                "The service does not serve HTTPS. Start it with --tls-listen ADDR.",
            )
        })?;
        let https = https_url(&https)?;
        let pages = file.http_url.and_then(|url| Url::parse(&url).ok()).unwrap_or_else(|| https.clone());
        Ok(Self { https, pages, authority: read(&data.join("ca.pem"))? })
    }

    fn by_environment(url: &str) -> Result<Self, CommandError> {
        let https = https_url(url)?;
        let path = variable("CLOUDPC_CA").ok_or_else(|| {
            let message = "CLOUDPC_URL is set but CLOUDPC_CA is not. Set it to the ca.pem of that service, or pass its data \
                           directory with --data.";
            CommandError::new(ExitStatus::Usage, message)
        })?;
        Ok(Self { pages: https.clone(), https, authority: read(Path::new(&path))? })
    }
}

fn https_url(text: &str) -> Result<Url, CommandError> {
    Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host()).ok_or_else(|| {
        let message = format!("Invalid service URL '{text}'. Expected an https URL such as https://127.0.0.1:8366.");
        CommandError::new(ExitStatus::Usage, message)
    })
}

fn read_admin_file(data: &Path) -> Result<AdminFile, CommandError> {
    let path = data.join("admin.json");
    let text = std::fs::read(&path).map_err(|error| {
        let message = format!(
            "No service found: cannot read {} ({error}). Start one with `cloudpc serve --demo`, pass its data \
             directory with --data, or set CLOUDPC_URL and CLOUDPC_TOKEN.",
            path.display()
        );
        CommandError::new(ExitStatus::Unreachable, message)
    })?;
    serde_json::from_slice(&text)
        .map_err(|error| CommandError::local(format!("{} is not a valid admin.json: {error}.", path.display())))
}

async fn by_directory(data: &Path) -> Result<Client, CommandError> {
    let file = read_admin_file(data)?;
    let credentials =
        Credentials { tenant_id: file.tenant_id, client_id: file.client_id, client_secret: file.client_secret };
    match (file.http_url, file.https_url) {
        (Some(http), _) => Ok(Client::sign_in(&http, credentials, None).await?),
        (None, Some(https)) => {
            let authority = read(&data.join("ca.pem"))?;
            Ok(Client::sign_in(&https, credentials, Some(&authority)).await?)
        }
        (None, None) => Err(CommandError::new(
            ExitStatus::Unreachable,
            format!(
                "{} contains no service URL. Start the service once with `cloudpc serve`.",
                data.join("admin.json").display()
            ),
        )),
    }
}

fn by_environment(url: &str) -> Result<Client, CommandError> {
    let token = variable("CLOUDPC_TOKEN").ok_or_else(|| {
        let message = "CLOUDPC_URL is set but CLOUDPC_TOKEN is not. Set it to an access token of that service, or pass its data \
                       directory with --data.";
        CommandError::new(ExitStatus::NotPermitted, message)
    })?;
    let authority = variable("CLOUDPC_CA").map(|path| read(Path::new(&path))).transpose()?;
    Ok(Client::with_token(url, &token, authority.as_deref())?)
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|error| CommandError::local(format!("Cannot read {}: {error}.", path.display())))
}

/// An environment variable, unless it is empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Answer(error) => Self::answered(error.status, &error.code, &error.message),
            ClientError::Address { .. } => Self::new(ExitStatus::Usage, format!("Invalid service URL: {error}.")),
            ClientError::Certificate | ClientError::NoAuthorities => {
                Self::local(format!("Cannot trust the service: {error}."))
            }
            ClientError::Unreachable { .. } => {
                Self::new(ExitStatus::Unreachable, format!("Cannot reach the service: {error}. Is it running?"))
            }
            ClientError::Unreadable { .. } => {
                Self::new(ExitStatus::Unreachable, format!("Cannot read the answer of the service: {error}."))
            }
        }
    }
}
