//! Chance as a parameter.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// A source of random numbers. The operating system's lives with the drivers; [`SeededRng`] replays.
pub trait Rng: Send + Sync {
    /// 64 random bits.
    fn next_u64(&self) -> u64;

    /// A random (version 4) UUID.
    fn uuid(&self) -> Uuid {
        let (high, low) = (self.next_u64(), self.next_u64());
        uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()).into_uuid()
    }

    /// A number in `0..bound`. The bias is below 2⁻³² for the small bounds used here.
    fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound.max(1)
    }
}

/// A generator that gives the same numbers for the same seed.
pub struct SeededRng(Mutex<ChaCha8Rng>);

impl SeededRng {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha8Rng::seed_from_u64(seed)))
    }
}

impl Rng for SeededRng {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}
