//! Tests of the server in this process: real SQLite, simulated machines, a manually advanced clock.
//! They are one binary, so that it is linked once.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod admin;
mod answers;
mod architecture;
mod audit;
mod batch;
mod bulk;
mod cases;
mod connections;
mod control_information;
mod delta;
mod device_images;
mod directory;
mod docs;
mod document_cases;
mod document_nulls;
mod documents;
mod expand;
mod exports;
mod failures;
mod federation;
mod frontline;
mod fuzz;
mod headers;
mod kinds;
mod limits;
mod lists;
mod model;
mod openapi;
mod paging;
mod preferences;
mod provisioning;
mod rbac;
mod repeats;
mod reports;
mod reviews;
mod scans;
mod scenarios;
mod scene;
mod selection;
mod shared;
mod sign_in;
mod tenants;
mod throttling;
mod webhooks;
mod world;
