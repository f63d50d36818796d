//! A small client for this service: what the command line uses.
//!
//! It signs in, sends JSON, follows the links between pages and reads errors out of their envelope. It knows no operation: paths and rows are the caller's.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use std::error::Error as StdError;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::GraphError;

/// What a value in a query need not escape.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(300);

/// A connection to one service, as one caller.
pub struct Client {
    http: reqwest::Client,
    address: Url,
    token: RwLock<String>,
    credentials: Option<Credentials>,
}

/// What an application signs in with.
#[derive(Clone)]
pub struct Credentials {
    /// Its tenant.
    pub tenant_id: String,
    /// Its client id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
}

/// What can go wrong with a call.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service's address is none.
    #[error("'{address}' is no address; write it like https://127.0.0.1:8366")]
    Address {
        /// As given.
        address: String,
    },
    /// The certificate authority's file is no PEM file with certificates.
    #[error("the certificate authority's file holds no certificate in PEM form")]
    Certificate,
    /// The host has no certificate authorities.
    #[error("this host knows no certificate authorities; install them (ca-certificates), or name the service's own")]
    NoAuthorities,
    /// There was no answer.
    #[error("{address} does not answer: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why, as far as it is known.
        reason: String,
    },
    /// The answer was an error.
    #[error(transparent)]
    Answer(GraphError),
    /// The answer was not what this service sends.
    #[error("{address} answered something that is not Graph's: {reason}")]
    Unreadable {
        /// Where.
        address: String,
        /// What.
        reason: String,
    },
}

impl Client {
    /// A client with a token got elsewhere. `authority_pem`: the only certificate authorities that are trusted; none: the system's.
    ///
    /// # Errors
    /// The address or the certificates cannot be read.
    pub fn with_token(address: &str, token: &str, authority_pem: Option<&[u8]>) -> Result<Self, ClientError> {
        Self::new(address, token.to_owned(), None, authority_pem)
    }

    /// A client that signs in as an application, and again when its token has run out.
    ///
    /// # Errors
    /// As [`Client::with_token`], and what the token service says.
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
            // Otherwise a host without any authorities, such as a small container, could not even be spoken to without them.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|_| ClientError::NoAuthorities)?;
        Ok(Self { http, address: url, token: RwLock::new(token), credentials })
    }

    /// The service's address, without a slash at the end.
    pub fn address(&self) -> &str {
        self.address.as_str().trim_end_matches('/')
    }

    /// The token that calls are made with.
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

    /// Gets the rows of a collection over all its pages, at most `limit` if one is given.
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
                _ => return Err(self.unreadable("a page without a list of rows")),
            }
            let next = page.get("@odata.nextLink").and_then(Value::as_str);
            let Some(next) = next.filter(|_| rows.len() < limit) else { return Ok(rows) };
            url = Url::parse(next).map_err(|_| self.unreadable("a link to the next page that is no address"))?;
            // The token goes to the service that it was made for and nowhere else.
            if url.origin() != self.address.origin() {
                return Err(self.unreadable(&format!("a link to the next page at another service ({url})")));
            }
        }
    }

    /// Posts JSON, nothing if it is null; returns the answer, null if there is none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(Method::POST, path, body).await
    }

    /// Posts text of a media type; returns the answer, null if there is none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post_text(&self, path: &str, media_type: &str, body: &str) -> Result<Value, ClientError> {
        let url = self.url(path)?;
        let request = || self.http.post(url.clone()).header("content-type", media_type).body(body.to_owned());
        self.json(self.call(&request).await?).await
    }

    /// Changes properties; returns the answer, null if there is none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(Method::PATCH, path, body).await
    }

    /// Deletes.
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

    /// Makes a call; once more with a new token if the present one has run out.
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

    /// Gets a new token for the application.
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
