// SPDX-License-Identifier: BSD-3-Clause
//! The queue of CPUs that wait for locks.
//!
//! A lock is one bit of a word, and whoever sets it first has it. That is all there is to a lock which
//! is free. A CPU that finds it taken joins a queue: it notes in a [`Waiter`] which word it waits for, with
//! a ticket that grows with each that joins, and sets [`WANTED`] in the word. As long as that is set,
//! only the waiter with the lowest ticket takes the lock. Whoever comes later, and has set the lock bit
//! before it saw the mark, clears it again and joins the queue. So a CPU waits for those before it and
//! for nobody else, however often others come back: at most for as many holders as there are other CPUs.
//!
//! No lock is in the queue itself. It decides the order alone, and the lock bit decides who has the lock;
//! a CPU that looks between two steps of another one may at most see an order that is not yet complete.
//! Waiters for different words do not wait for each other. With the lock order, this is free of deadlocks:
//! those before a waiter wait for the same word, and hold, as it does, only what comes before that.

use crate::state::{LOCK, WANTED};
use crate::sync::{AtomicU64, AtomicUsize, Ordering, Word, spin_loop};

/// The place of one CPU that waits. Zero: of none.
#[derive(Debug, Default)]
pub struct Waiter {
    /// Address of the word; 0 while the place is free.
    word: AtomicUsize,
    /// Ticket, from 1 on; 0 while the CPU is about to join or to leave.
    ticket: AtomicU64,
}

impl Waiter {
    /// A place that is free.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            word: AtomicUsize::new(0),
            ticket: AtomicU64::new(0),
        }
    }
}

/// The queue of all words of a table.
pub(crate) struct Queue {
    places: &'static [Waiter],
    /// Places beyond this number were never used.
    used: AtomicUsize,
    /// The last ticket.
    last: AtomicU64,
}

impl Queue {
    /// An empty queue for as many CPUs as there are places.
    pub(crate) fn new(places: &'static [Waiter]) -> Self {
        Self {
            places,
            used: AtomicUsize::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// Waits until all who came before have had the word, and locks it. Returns the word as it was
    /// before.
    pub(crate) fn wait_and_lock(&self, word: &Word) -> u16 {
        let key = core::ptr::from_ref(word).addr();
        let (place, ticket) = self.join(key);
        // Release: whoever sees the mark with the lock bit sees the place. Acquire: so does this CPU, of those
        // that set the mark before.
        word.fetch_or(WANTED, Ordering::AcqRel);
        let seen = loop {
            if self.is_next(key, ticket) && word.load(Ordering::Relaxed) & LOCK == 0 {
                // Relaxed: below.
                let seen = word.fetch_or(LOCK, Ordering::Relaxed);
                if seen & LOCK == 0 {
                    break seen;
                }
            }
            spin_loop();
        };
        place.ticket.store(0, Ordering::Relaxed);
        // Release: whoever takes the place next writes its ticket after that.
        place.word.store(0, Ordering::Release);
        // Acquire: what the holder before this CPU has done is seen; and, if this clears the mark of another
        // waiter, its place. One that joins later sets the mark itself. Either way it is there when the lock
        // is free again.
        word.fetch_and(!WANTED, Ordering::Acquire);
        if self.others(key).next().is_some() {
            word.fetch_or(WANTED, Ordering::Relaxed);
        }
        seen
    }

    /// Takes a place and a ticket.
    fn join(&self, key: usize) -> (&'static Waiter, u64) {
        loop {
            for n in 0..self.places.len() {
                let Some(place) = self.places.get(n) else {
                    break;
                };
                let taken =
                    place
                        .word
                        .compare_exchange(0, key, Ordering::Acquire, Ordering::Relaxed);
                if taken.is_ok() {
                    self.used.fetch_max(n + 1, Ordering::Relaxed);
                    // Wrapping: 2^64 tickets are never drawn.
                    let ticket = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
                    place.ticket.store(ticket, Ordering::Relaxed);
                    return (place, ticket);
                }
            }
            // More CPUs than places. It cannot be, and would do no harm but to the order.
            spin_loop();
        }
    }

    /// How many have a ticket for the word at this moment.
    #[cfg(test)]
    pub(crate) fn length(&self, word: &Word) -> usize {
        self.others(core::ptr::from_ref(word).addr())
            .filter(|place| place.ticket.load(Ordering::Relaxed) != 0)
            .count()
    }

    /// The places of those who wait for the word.
    fn others(&self, key: usize) -> impl Iterator<Item = &Waiter> {
        let used = self.used.load(Ordering::Relaxed).min(self.places.len());
        let places = self.places.split_at(used).0;
        places
            .iter()
            .filter(move |place| place.word.load(Ordering::Relaxed) == key)
    }

    /// Whether nobody with a lower ticket waits for the word.
    fn is_next(&self, key: usize, ticket: u64) -> bool {
        self.others(key).all(|place| {
            let other = place.ticket.load(Ordering::Relaxed);
            other == 0 || other >= ticket
        })
    }
}
