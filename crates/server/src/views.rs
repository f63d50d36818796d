//! Conversion of domain types to Graph's JSON. Only this module knows Graph's names of states.
//!
//! A view borrows its data and is serialised directly into the body.

pub mod action;
pub mod audit;
pub mod bulk_action;
pub mod catalog;
pub mod cloud_pc;
pub mod connectivity;
pub mod directory;
pub mod launch;
pub mod managed_device;
pub mod partner;
pub mod remote_action;
pub mod review;
pub mod rollout;
pub mod snapshot;

use cloudpc_model::Timestamp;
use serde::{Serialize, Serializer};

/// A time in Graph's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A value serialised by its `Display`, such as an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<T>(pub T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// `cloudPcStatusDetail`, and the older `cloudPcStatusDetails` with the same properties.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail<'a> {
    /// Machine-readable code.
    pub code: &'a str,
    /// Human-readable message.
    pub message: &'a str,
    /// Always empty; the message has all details.
    pub additional_information: [(); 0],
}

impl<'a> Detail<'a> {
    fn new(code: &'a str, message: &'a str) -> Self {
        Self { code, message, additional_information: [] }
    }
}

/// Returns `None` for an empty string, for properties whose absence Graph writes as null.
fn none_if_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Returns the name of an enum member declared after `unknownFutureValue`, which only clients that
/// ask for it receive.
fn late_member(name: &'static str, unknown_enum_members: bool) -> &'static str {
    if unknown_enum_members { name } else { "unknownFutureValue" }
}
