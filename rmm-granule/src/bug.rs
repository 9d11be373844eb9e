// SPDX-License-Identifier: BSD-3-Clause
//! The one answer to what cannot happen.

/// Stops this CPU: a promise of the monitor itself or of the hardware is broken, and going on would
/// risk a Realm's secrets.
///
/// Takes a literal, without placeholders, that says what is broken. It panics with that reason and the
/// file and line of the caller; the panic handler of the monitor prints both and waits for ever. Nothing
/// else is printed, so no content of a Realm can get out this way. A lock that the CPU holds stays
/// locked.
///
/// Not for input of a Host or a Realm, however wrong: that gets the error which the specification names.
/// Better than this macro is a type that makes the case impossible.
///
/// ```should_panic
/// # let (table, pa) = ([0u8; 4], 5);
/// let Some(entry) = table.get(pa) else {
///     rmm_granule::bug!("an RTT outside DRAM");
/// };
/// ```
#[macro_export]
macro_rules! bug {
    ($reason:literal) => {
        ::core::panic!($reason)
    };
}

#[cfg(test)]
mod tests {
    const fn even(n: u32) -> u32 {
        if !n.is_multiple_of(2) {
            crate::bug!("an odd number");
        }
        n
    }

    const TWO: u32 = even(2);

    #[test]
    #[should_panic(expected = "an odd number")]
    fn a_bug_stops_with_its_reason() {
        even(TWO + 1);
    }
}
