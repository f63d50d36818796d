//! The HTTP client of the command line.
//!
//! It signs in, sends JSON, follows next links and reads error envelopes. It refuses to know any
//! operation: paths and rows are the caller's.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use std::error::Error as StdError;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::GraphError;

/// Characters of a query value that are not percent-encoded.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(300);
/// Time after which a stream of events is opened anew, which a stream that is in use does not
/// notice.
const STREAM_TIME_MAX: Duration = Duration::from_hours(24);

/// A client of one service with one set of credentials.
pub struct Client {
    http: reqwest::Client,
    address: Url,
    token: RwLock<String>,
    credentials: Option<Credentials>,
}

/// The credentials of an application.
#[derive(Clone)]
pub struct Credentials {
    /// Tenant id.
    pub tenant_id: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service URL is invalid.
    #[error("'{address}' is not a service URL; expected a URL such as https://127.0.0.1:8366")]
    Address {
        /// The URL as given.
        address: String,
    },
    /// The certificate authority file contains no PEM certificate.
    #[error("the certificate authority file contains no PEM certificate")]
    Certificate,
    /// The host has no trusted certificate authorities.
    #[error(
        "this host has no trusted certificate authorities; install ca-certificates, or set CLOUDPC_CA to the service's ca.pem"
    )]
    NoAuthorities,
    /// The service did not answer.
    #[error("no answer from {address}: {reason}")]
    Unreachable {
        /// URL of the service.
        address: String,
        /// Cause.
        reason: String,
    },
    /// The service answered with an error.
    #[error(transparent)]
    Answer(GraphError),
    /// The answer is not one of this service.
    #[error("unexpected answer from {address}: {reason}")]
    Unreadable {
        /// URL of the service.
        address: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl Client {
    /// Returns a client that uses an existing token. `authority_pem` holds the only trusted
    /// certificate authorities; none: those of the system.
    ///
    /// # Errors
    /// The URL or the certificates are invalid.
    pub fn with_token(address: &str, token: &str, authority_pem: Option<&[u8]>) -> Result<Self, ClientError> {
        Self::new(address, token.to_owned(), None, authority_pem)
    }

    /// Signs in as an application; the client renews its token when it expires.
    ///
    /// # Errors
    /// As [`Client::with_token`], and errors of the token service.
    pub async fn sign_in(
        address: &str,
        credentials: Credentials,
        authority_pem: Option<&[u8]>,
    ) -> Result<Self, ClientError> {
        let client = Self::new(address, String::new(), Some(credentials), authority_pem)?;
        client.renew().await?;
        Ok(client)
    }

    fn new(
        address: &str,
        token: String,
        credentials: Option<Credentials>,
        authority_pem: Option<&[u8]>,
    ) -> Result<Self, ClientError> {
        let no_address = || ClientError::Address { address: address.to_owned() };
        let url = Url::parse(address).map_err(|_| no_address())?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or_else(no_address)?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(ANSWER_TIME_MAX)
            .redirect(reqwest::redirect::Policy::none());
        if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            builder = builder.no_proxy();
        }
        if let Some(pem) = authority_pem {
            let certificates = Certificate::from_pem_bundle(pem).map_err(|_| ClientError::Certificate)?;
            if certificates.is_empty() {
                return Err(ClientError::Certificate);
            }
            builder = builder.tls_certs_only(certificates);
        } else if url.scheme() == "http" {
            // Plain HTTP must work on hosts without authorities, such as small containers.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|_| ClientError::NoAuthorities)?;
        Ok(Self { http, address: url, token: RwLock::new(token), credentials })
    }

    /// Returns the service URL without a trailing slash.
    pub fn address(&self) -> &str {
        self.address.as_str().trim_end_matches('/')
    }

    /// Returns the current access token.
    pub fn token(&self) -> String {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gets JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let url = self.url(path)?;
        self.json(self.call(&|| self.http.get(url.clone())).await?).await
    }

    /// Gets text.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let url = self.url(path)?;
        let response = self.call(&|| self.http.get(url.clone())).await?;
        response.text().await.map_err(|error| self.unreachable(&error))
    }

    /// Gets bytes.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        let url = self.url(path)?;
        let response = self.call(&|| self.http.get(url.clone())).await?;
        Ok(response.bytes().await.map_err(|error| self.unreachable(&error))?.into())
    }

    /// Opens a stream of server-sent events after the event with the id `last`, or from now on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, path: &str, last: Option<&str>) -> Result<EventStream, ClientError> {
        let url = self.url(path)?;
        let request = || {
            let request = self.http.get(url.clone()).timeout(STREAM_TIME_MAX);
            match last {
                Some(last) => request.header("last-event-id", last),
                None => request,
            }
        };
        Ok(EventStream { response: self.call(&request).await?, received: Vec::new() })
    }

    /// Gets the rows of a collection from all pages, at most `limit`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rows(
        &self,
        path: &str,
        query: &[(&str, &str)],
        limit: Option<usize>,
    ) -> Result<Vec<Value>, ClientError> {
        let query: Vec<_> =
            query.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN))).collect();
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.set_query(Some(&query.join("&")));
        }
        let limit = limit.unwrap_or(usize::MAX);
        let mut rows = Vec::new();
        loop {
            let mut page = self.json(self.call(&|| self.http.get(url.clone())).await?).await?;
            match page.get_mut("value").map(Value::take) {
                Some(Value::Array(more)) => rows.extend(more.into_iter().take(limit - rows.len())),
                _ => return Err(self.unreadable("a page has no rows")),
            }
            let next = page.get("@odata.nextLink").and_then(Value::as_str);
            let Some(next) = next.filter(|_| rows.len() < limit) else { return Ok(rows) };
            url = Url::parse(next).map_err(|_| self.unreadable("the next link is not a URL"))?;
            // The token must not be sent to another service.
            if url.origin() != self.address.origin() {
                return Err(self.unreadable(&format!("the next link leads to another service ({url})")));
            }
        }
    }

    /// Posts JSON (no body if null); returns the answer, or null.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(Method::POST, path, body).await
    }

    /// Posts text of a media type; returns the answer, or null.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post_text(&self, path: &str, media_type: &str, body: &str) -> Result<Value, ClientError> {
        let url = self.url(path)?;
        let request = || self.http.post(url.clone()).header("content-type", media_type).body(body.to_owned());
        self.json(self.call(&request).await?).await
    }

    /// Patches properties; returns the answer, or null.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(Method::PATCH, path, body).await
    }

    /// Deletes an entity.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, path, &Value::Null).await.map(drop)
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, ClientError> {
        let url = self.url(path)?;
        let request = || match body {
            Value::Null => self.http.request(method.clone(), url.clone()),
            body => self.http.request(method.clone(), url.clone()).json(body),
        };
        self.json(self.call(&request).await?).await
    }

    /// Sends a request; retries it once with a new token if the token has expired.
    async fn call(&self, request: &(dyn Fn() -> RequestBuilder + Sync)) -> Result<Response, ClientError> {
        let first = self.once(request()).await?;
        let response = if first.status() == StatusCode::UNAUTHORIZED && self.credentials.is_some() {
            self.renew().await?;
            self.once(request()).await?
        } else {
            first
        };
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    async fn once(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        request.bearer_auth(self.token()).send().await.map_err(|error| self.unreachable(&error))
    }

    /// Requests a new token.
    async fn renew(&self) -> Result<(), ClientError> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        let url = self.url(&format!("/{}/oauth2/v2.0/token", credentials.tenant_id))?;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &credentials.client_id),
            ("client_secret", &credentials.client_secret),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        let response = self.http.post(url).form(&form).send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let answer = self.json(response).await?;
        match (
            answer.get("access_token").and_then(Value::as_str),
            answer.get("error_description").and_then(Value::as_str),
        ) {
            (Some(token), _) => {
                token.clone_into(&mut self.token.write().unwrap_or_else(PoisonError::into_inner));
                Ok(())
            }
            (None, Some(why)) => Err(ClientError::Answer(GraphError::new(401, "InvalidAuthenticationToken", why))),
            (None, None) => Err(self.unreadable(&format!("status {status} and no token"))),
        }
    }

    fn url(&self, path: &str) -> Result<Url, ClientError> {
        let text = format!("{}{path}", self.address());
        Url::parse(&text).map_err(|_| ClientError::Address { address: text })
    }

    async fn json(&self, response: Response) -> Result<Value, ClientError> {
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| self.unreadable(&error.to_string()))
    }

    async fn refusal(&self, response: Response) -> ClientError {
        let status = response.status().as_u16();
        let answer = self.json(response).await.unwrap_or_default();
        let field = |name| answer.get("error").and_then(|error| error.get(name)).and_then(Value::as_str);
        match (field("code"), field("message")) {
            (Some(code), Some(message)) => {
                let error = GraphError::new(status, code, message);
                ClientError::Answer(match field("target") {
                    Some(target) => error.about(target),
                    None => error,
                })
            }
            _ => self.unreadable(&format!("status {status} without an error envelope")),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let mut cause: &dyn StdError = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        ClientError::Unreachable { address: self.address().to_owned(), reason: cause.to_string() }
    }

    fn unreadable(&self, reason: &str) -> ClientError {
        ClientError::Unreadable { address: self.address().to_owned(), reason: reason.to_owned() }
    }
}

/// An event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerEvent {
    /// Its id, by which a client continues after it.
    pub id: String,
    /// Its data; none if it only moves the client's position.
    pub data: Option<String>,
}

/// A stream of server-sent events, as this service writes them: lines of `name: value`, and an
/// empty line after each event.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    /// The beginning of an event whose end has not arrived.
    received: Vec<u8>,
}

impl EventStream {
    /// Waits for the next event; none if the stream has ended.
    pub async fn next(&mut self) -> Option<ServerEvent> {
        const END: &[u8] = b"\n\n";
        loop {
            if let Some(end) = self.received.windows(END.len()).position(|bytes| bytes == END) {
                let rest = self.received.split_off(end + END.len());
                let event = std::mem::replace(&mut self.received, rest);
                return Some(parse_event(&String::from_utf8_lossy(&event)));
            }
            // An interrupted event is sent again after the last one that has arrived.
            self.received.extend_from_slice(&self.response.chunk().await.ok()??);
        }
    }
}

fn parse_event(text: &str) -> ServerEvent {
    let mut event = ServerEvent::default();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => id.clone_into(&mut event.id),
            Some(("data", data)) => event.data = Some(data.to_owned()),
            _ => {}
        }
    }
    event
}
