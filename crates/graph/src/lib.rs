//! The contract: what Microsoft Graph's Cloud PC API looks like on the wire, as data and as pure
//! functions over it.
//!
//! [`Edm`] is loaded from `contract/` and says which operations and types there are. A request path
//! is resolved against it into a [`ResolvedTarget`], the query into [`QueryOptions`], the body into checked
//! JSON; answers get their context, links and error envelopes here.
//!
//! This crate refuses to know the domain, the database and the server. Nothing in it does I/O but
//! the client (feature `client`).

pub mod body;
#[cfg(feature = "client")]
pub mod client;
pub mod edm;
pub mod error;
pub mod filter;
pub mod link;
pub mod metadata;
pub mod options;
pub mod resolve;
mod text;

pub use edm::{Edm, Operation, OperationKind, TypeRef, Version};
pub use error::{ErrorEnvelope, GraphError};
pub use filter::Filter;
pub use link::{LinkSigner, next_link};
pub use options::QueryOptions;
pub use resolve::{Endpoint, Method, ResolvedTarget, Scope};
pub use text::is_control_or_bidi;
