//! The server: HTTP at the edge, one OData pipeline, the operations, and the administration of
//! simulated fleets.
//!
//! Only this crate wires the other crates together. It refuses to know SQL text, how a token is
//! verified, what a scenario file looks like, and how a machine is run.
//!
//! A request goes [`edge`] → [`identity`] → [`pipeline`] → one file under [`operations`] → engine
//! or store → [`views`] → back.

pub mod admin;
pub mod app;
pub mod config;
pub mod desktop;
pub mod documents;
mod durable_file;
pub mod edge;
pub mod events;
pub mod exports;
pub mod images;
pub mod management;
pub mod openapi;
pub mod operations;
pub mod pipeline;
pub mod rbac;
pub mod reports;
pub mod request;
pub mod scenario;
pub mod start;
pub mod views;
pub mod webhooks;

pub use cloudpc_identity::{self as identity, caller, installation};
