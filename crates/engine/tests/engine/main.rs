//! The engine against the simulated driver and a real store, on a clock that is moved by hand.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod cancel;
mod deploy;
mod health;
mod matrix;
mod requests;
mod restored;
mod running;
mod simulation;
mod undo;
mod world;
