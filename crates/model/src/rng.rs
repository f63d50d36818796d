//! Randomness as a parameter.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// A source of random numbers: the operating system's (in the drivers crate) or a [`SeededRng`].
pub trait Rng: Send + Sync {
    /// Returns 64 random bits.
    fn next_u64(&self) -> u64;

    /// Returns a random (version 4) UUID.
    fn uuid(&self) -> Uuid {
        let (high, low) = (self.next_u64(), self.next_u64());
        uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()).into_uuid()
    }

    /// Returns a number in `0..bound`. The bias is below 2⁻³² for the small bounds used here.
    fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound.max(1)
    }
}

/// A deterministic generator: the same seed gives the same numbers.
pub struct SeededRng(Mutex<ChaCha8Rng>);

impl SeededRng {
    /// Returns the generator for a seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha8Rng::seed_from_u64(seed)))
    }
}

impl Rng for SeededRng {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}
