//! Tests of the engine with the simulated driver and a real store, on a manual clock.

#![expect(clippy::unwrap_used, reason = "an error fails the test")]

mod architecture;
mod bulk;
mod cancel;
mod connections;
mod cost;
mod deploy;
mod health;
mod images;
mod licenses;
mod matrix;
mod provisioning;
mod requests;
mod restore_points;
mod restored;
mod rollouts;
mod running;
mod simulation;
mod undo;
mod world;
