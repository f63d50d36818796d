//! A request path against the model: which operation, with which keys and arguments.
//!
//! Takes every spelling that clients send: any case, double slashes, `()` or not, a lost comma between arguments, aliases with and without quotes,
//! arguments as query options, `/me` for `/users/{id}`, and names qualified with their namespace (`microsoft.graph.reboot`, `cloudpc.cancel`).

use std::collections::BTreeMap;

use crate::{Edm, GraphError, Operation};

/// HTTP methods of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are HTTP's")]
pub enum Method {
    Get,
    Post,
    Patch,
    Put,
    Delete,
}

/// Whose Cloud PCs a path is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of the tenant: a path under `/deviceManagement`.
    Tenant,
    /// The caller's: `/me`.
    Me,
    /// One user's, by id or name: `/users/{id}`.
    User(String),
}

/// What a request is for.
#[derive(Clone, Debug)]
pub struct Target {
    /// The operation.
    pub operation: &'static Operation,
    /// Whose.
    pub scope: Scope,
    /// Keys in the path, in order, without the user's.
    pub keys: Vec<String>,
    /// Arguments of a function that were given; an empty text and an alias that the query does not set are left out.
    pub arguments: BTreeMap<String, String>,
    /// The path as `@odata.context` and links spell it, without the root: `deviceManagement/virtualEndpoint/cloudPCs`.
    pub canonical_path: String,
}

impl Edm {
    /// Resolves a path below the root (still percent-encoded, e.g. `/deviceManagement/managedDevices/…`) and its raw query.
    ///
    /// # Errors
    /// 400 `BadRequest` for a segment that no operation has (as Graph says "Resource not found for the segment"), 405 for a method that the path does not take,
    /// 400 for arguments that cannot be read.
    pub fn resolve(&'static self, _method: Method, _path: &str, _query: &str) -> Result<Target, GraphError> {
        unimplemented!()
    }
}
