//! Reads request bodies within limits.

use axum::body::Body;
use bytes::Bytes;
use cloudpc_graph::GraphError;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// Largest request body, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// Reads the body. The edge has already rejected compressed bodies.
///
/// Returns 413 for a body over the limit and 415 for one that is not JSON in UTF-8.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, GraphError> {
    let bytes = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("The body is larger than {BODY_BYTES_MAX} bytes.");
            return Err(GraphError::new(413, "RequestEntityTooLarge", message));
        }
        Err(_) => return Err(GraphError::bad_request("The request body is incomplete.")),
    };
    if !bytes.is_empty() && !is_json(headers) {
        return Err(unsupported("A request body requires the header 'Content-Type: application/json'."));
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(text) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    // JSON is UTF-8; another character set would be decoded incorrectly.
    let utf8 = |part: &str| match part.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    media.eq_ignore_ascii_case("application/json") && parts.all(utf8)
}

fn unsupported(message: &str) -> GraphError {
    GraphError::new(415, "UnsupportedMediaType", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    async fn status(pairs: &[(&'static str, &'static str)], body: Vec<u8>) -> u16 {
        read(&headers(pairs), Body::from(body)).await.map_or_else(|error| error.status, |_| 200)
    }

    #[tokio::test]
    async fn body_of_exactly_the_limit_is_accepted() {
        let json = [("content-type", "application/json")];
        assert_eq!(status(&json, vec![b' '; BODY_BYTES_MAX]).await, 200);
        assert_eq!(status(&json, vec![b' '; BODY_BYTES_MAX + 1]).await, 413);
    }

    #[tokio::test]
    async fn only_json_in_utf8_is_accepted() {
        assert_eq!(status(&[], Vec::new()).await, 200);
        assert_eq!(status(&[], b"{}".to_vec()).await, 415);
        assert_eq!(status(&[("content-type", "text/plain")], b"{}".to_vec()).await, 415);
        assert_eq!(status(&[("content-type", "Application/JSON; charset=\"UTF-8\"")], b"{}".to_vec()).await, 200);
        assert_eq!(status(&[("content-type", "application/json;charset=utf-16")], b"{}".to_vec()).await, 415);
    }
}
