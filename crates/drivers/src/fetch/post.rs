//! Guarded deliveries: requests with a body to URLs that a caller chose.

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

use super::route::FetchRoute;
use super::{FetchPolicy, Fetcher, innermost};

/// Longest time of a delivery, from the connection to the end of the answer.
pub const POST_TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read.
pub const ANSWER_BYTES_MAX: usize = 4 << 10;

/// A body to deliver.
#[derive(Clone, Debug)]
pub struct Post {
    /// Receiver.
    pub url: Url,
    /// Headers beside the content type.
    pub headers: HeaderMap,
    /// Media type of the body.
    pub content_type: &'static str,
    /// Body.
    pub body: Vec<u8>,
}

/// What a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostAnswer {
    /// Status code of HTTP.
    pub status: u16,
    /// `Content-Type`, as sent; empty if there was none.
    pub content_type: String,
    /// The first bytes of the body, at most [`ANSWER_BYTES_MAX`].
    pub body: Vec<u8>,
}

impl Fetcher {
    /// Sends a body to a URL that `policy` allows. Redirects are answers like any other: they are
    /// not followed. The sizes and times of `policy` do not apply.
    ///
    /// # Errors
    /// The reason why nothing was delivered, for the person who gave the URL. It is possible that
    /// the receiver has read the body.
    pub async fn post(&self, post: Post, policy: &FetchPolicy) -> Result<PostAnswer, String> {
        let route = FetchRoute::from(&post.url, policy)?;
        let client = self.client(route.scope()).map_err(|error| error.to_string())?;
        let request =
            client.post(post.url).headers(post.headers).header(CONTENT_TYPE, post.content_type).body(post.body);
        let delivered = async {
            let mut response = request.send().await.map_err(|error| innermost(&error))?;
            let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let mut answer = PostAnswer {
                status: response.status().as_u16(),
                content_type: content_type.unwrap_or_default().to_owned(),
                body: Vec::new(),
            };
            while answer.body.len() < ANSWER_BYTES_MAX
                && let Some(chunk) = response.chunk().await.map_err(|error| innermost(&error))?
            {
                let wanted = chunk.len().min(ANSWER_BYTES_MAX - answer.body.len());
                answer.body.extend_from_slice(&chunk[..wanted]);
            }
            Ok(answer)
        };
        let late = || Err(format!("the receiver did not answer within {} seconds", POST_TIME_MAX.as_secs()));
        timeout(POST_TIME_MAX, delivered).await.unwrap_or_else(|_| late())
    }
}
