// SPDX-License-Identifier: BSD-3-Clause
//! Random numbers, and settings of random tests from the environment.

use std::time::SystemTime;

/// SplitMix64, from this seed.
pub struct Random(pub u64);

impl Random {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number less than `end`.
    ///
    /// # Panics
    /// If `end` is zero.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.bits() >> 33).expect("31 bits") % end
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there is none.
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// True once in `n` times.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// The number in this environment variable, if there is one.
#[must_use]
pub fn environment_number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The seed of a random test: that in this environment variable, or one from the clock. Prints it.
#[must_use]
pub fn environment_seed(variable: &str) -> u64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanoseconds = time.map_or(0, |time| {
        u64::from(time.subsec_nanos()) ^ time.as_secs() << 30
    });
    let seed = environment_number(variable).unwrap_or(nanoseconds);
    println!("{variable}={seed}");
    seed
}
