//! The handshake: before a webhook is created, its address has to repeat a random text, as in
//! Graph's change notifications. So nobody has the service send messages to who does not want them.

use cloudpc_drivers::Post;
use cloudpc_graph::GraphError;
use http::HeaderMap;
use url::Url;

use super::Webhooks;
use crate::identity::random_text;
use crate::pipeline::Call;

const URL: &str = "notificationUrl";

impl Webhooks {
    /// Checks that the receiver at an address wants messages.
    ///
    /// # Errors
    /// 400 about the address: it is not allowed, or does not repeat the text.
    pub(crate) async fn greet(&self, call: &Call, address: &str) -> Result<(), GraphError> {
        let wrong = |why: String| GraphError::bad_request(why).about(URL);
        let mut url = Url::parse(address).map_err(|error| wrong(format!("'{address}' is not a URL: {error}.")))?;
        let policy = self.policy(&url);
        let token = random_text(call.app.rng.as_ref());
        url.query_pairs_mut().append_pair("validationToken", &token);
        let post = Post { url, headers: HeaderMap::new(), content_type: "text/plain; charset=utf-8", body: Vec::new() };
        let expected = "It must answer the POST with status 200, the type text/plain, and the value of validationToken as the body.";
        let failed = |why: &str| wrong(format!("The receiver did not confirm the webhook: {why}. {expected}"));
        let answer = self.fetcher.post(post, &policy).await.map_err(|why| failed(&why))?;
        if answer.status != 200 {
            return Err(failed(&format!("it answered with status {}", answer.status)));
        }
        let media_type = answer.content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("text/plain") {
            return Err(failed(&format!("its answer has the type '{media_type}'")));
        }
        if answer.body != token.as_bytes() {
            return Err(failed("its answer is another text"));
        }
        Ok(())
    }
}
