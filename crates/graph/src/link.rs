//! `@odata.nextLink` and the token in it, which is signed so that a made-up or foreign one is refused.

use crate::GraphError;

/// Signs and checks skip tokens with a key of the installation.
#[derive(Clone)]
pub struct LinkSigner {}

impl LinkSigner {
    /// A signer with this key.
    pub fn new(_key: &[u8]) -> Self {
        unimplemented!()
    }

    /// A token that holds `position` and is good only together with `binding` (tenant, path, filter…), which it does not hold.
    pub fn sign(&self, _binding: &str, _position: &str) -> String {
        unimplemented!()
    }

    /// The position in a token.
    ///
    /// # Errors
    /// 400 if the token was not made here for this `binding`.
    pub fn verify(&self, _binding: &str, _token: &str) -> Result<String, GraphError> {
        unimplemented!()
    }
}

/// The absolute address of the next page: `address` (scheme, host and path of this request, as sent) with every original option of `query` and the token in place of
/// `$skiptoken` and `$skip`.
pub fn next_link(_address: &str, _query: &str, _token: &str) -> String {
    unimplemented!()
}
