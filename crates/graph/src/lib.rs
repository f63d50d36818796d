//! The contract: Microsoft Graph's Cloud PC API as data, with pure functions over it.
//!
//! [`Edm`] is loaded from `contract/` and lists the operations and types. A request path is
//! resolved against it into a [`ResolvedTarget`], the query into [`QueryOptions`], the body into
//! checked JSON. Responses get their context, links and error envelopes here.
//!
//! This crate knows nothing of the domain, the database and the server. Only the client (feature
//! `client`) performs I/O.

pub mod batch;
pub mod body;
#[cfg(feature = "client")]
pub mod client;
pub mod control;
pub mod edm;
pub mod error;
pub mod filter;
pub mod link;
pub mod metadata;
pub mod options;
pub mod resolve;
mod text;

pub use control::MetadataLevel;
pub use edm::{Edm, Operation, OperationKind, TypeRef, Version};
pub use error::{ErrorEnvelope, GraphError};
pub use filter::Filter;
pub use link::{LinkSigner, delta_link, next_link};
pub use options::QueryOptions;
pub use resolve::{Endpoint, Method, ResolvedTarget, Scope};
pub use text::is_control_or_bidi;
