// SPDX-License-Identifier: BSD-3-Clause
//! The word of a Granule and its guards under a model checker, which tries every interleaving of
//! two or three CPUs and every value that the orderings permit a load to see. `make loom` runs it.
//!
//! A model fails if two CPUs access a content and neither has waited for the other, if an assertion
//! fails, and if CPUs wait for each other. Each ordering is needed by a model:
//!
//! | where | ordering | model that fails without |
//! |---|---|---|
//! | `lock`, free | Acquire | `locks::exclude` |
//! | `lock`, waited for | Acquire | `locks::exclude` |
//! | `try_lock` | Acquire | `locks::tried_without_waiting` |
//! | `WANTED` is set | Release, Acquire | `locks::who_waits_comes_first` |
//! | the word of a `Waiter` | Release, Acquire | `locks::a_wrong_claim_stands_between_nobody` |
//! | `Locked::drop` | Release | `locks::exclude` |
//! | `Locked::refs`, which comes before each change of a state with a count | Acquire | `recs::destroyed_when_ready`, `realms::destroyed_without_recs` |
//! | `pin` | Release | `recs::entered_at_creation` |
//! | `Pinned::drop` | Release | `recs::run_on_one_cpu`, `recs::destroyed_when_ready` |
//! | `remove_rd_ref` | Release | `realms::destroyed_without_recs` |
//!
//! All others are Relaxed: the code says why this is enough, and all models pass.
#![cfg(loom)]

mod locks;
mod realms;
mod recs;

use core::mem::MaybeUninit;
use core::ops::Range;
use loom::cell::UnsafeCell;
use rmm_granule::{
    Bank, Delegated, GRANULE_SIZE, GranuleTable, Ipa, Locked, Memory, NextState, NsFault, Pa,
    Undelegated, Waiter, Word,
};
use std::ptr::NonNull;
use std::sync::Arc;

/// The contents of an RD and of a REC, as the monitor names them.
type Rd = rmm_granule::Rd<u64>;
type Rec = rmm_granule::Rec<u64, u64>;

const BASE: u64 = 0x8000_0000;
const GRANULES: usize = 3;
/// Most CPUs of a model.
const CPUS: usize = 3;

/// The address of Granule number `n`.
fn page(n: usize) -> u64 {
    BASE + (n * GRANULE_SIZE) as u64
}

#[repr(align(4096))]
struct Page(#[allow(dead_code)] [u8; GRANULE_SIZE]);

/// The content of a Granule, as far as the models use it. The checker compares each access with all
/// others.
struct Content {
    /// The part that does not change as long as the Granule stays in its state.
    head: UnsafeCell<u64>,
    /// The rest.
    body: UnsafeCell<u64>,
}

/// A granule table and the contents of its Granules.
struct Machine {
    table: GranuleTable,
    contents: [Content; GRANULES],
    /// Gives windows an address each. All accesses are to `contents`.
    pages: Box<[std::cell::UnsafeCell<Page>]>,
}

// SAFETY: the checker sees all accesses to contents, and panics at a race.
unsafe impl Send for Machine {}
// SAFETY: as above.
unsafe impl Sync for Machine {}

impl Machine {
    /// UNDELEGATED Granules that are not zero.
    fn new() -> Arc<Self> {
        let words: Vec<Word> = (0..GRANULES).map(|_| Word::new(0)).collect();
        let places: Vec<Waiter> = (0..CPUS).map(|_| Waiter::default()).collect();
        let bank = Bank {
            base: BASE,
            size: (GRANULES * GRANULE_SIZE) as u64,
        };
        Arc::new(Self {
            // SAFETY: the only table of this machine.
            table: unsafe { GranuleTable::new(&[bank], words.leak(), places.leak()) }
                .expect("a bank"),
            contents: std::array::from_fn(|_| Content {
                head: UnsafeCell::new(7),
                body: UnsafeCell::new(7),
            }),
            pages: (0..GRANULES)
                .map(|_| std::cell::UnsafeCell::new(Page([0; GRANULE_SIZE])))
                .collect(),
        })
    }

    /// Granule number `n`, delegated.
    fn delegated(&self, n: usize) -> Locked<'_, Delegated> {
        let granule = self
            .table
            .lock::<Undelegated>(page(n))
            .expect("UNDELEGATED");
        granule.wipe_into_delegated(self)
    }

    /// Brings Granule number `n` to state `S` with a content.
    fn make<S: NextState>(&self, n: usize) -> Locked<'_, S> {
        let granule = self.delegated(n).transition();
        self.set_head(n, 1);
        self.add(n, 1);
        granule
    }

    /// Reads the head of Granule number `n`.
    fn head(&self, n: usize) -> u64 {
        // SAFETY: the checker panics if another CPU writes it.
        self.contents[n].head.with(|head| unsafe { *head })
    }

    /// Writes the head of Granule number `n`.
    fn set_head(&self, n: usize, value: u64) {
        // SAFETY: the checker panics if another CPU accesses it.
        self.contents[n]
            .head
            .with_mut(|head| unsafe { *head = value });
    }

    /// Reads the body of Granule number `n`.
    fn body(&self, n: usize) -> u64 {
        // SAFETY: the checker panics if another CPU writes it.
        self.contents[n].body.with(|body| unsafe { *body })
    }

    /// Adds to the body of Granule number `n`.
    fn add(&self, n: usize, more: u64) {
        // SAFETY: the checker panics if another CPU accesses it.
        self.contents[n]
            .body
            .with_mut(|body| unsafe { *body = (*body).wrapping_add(more) });
    }
}

// SAFETY: a page is aligned and lives as long as the machine. CPUs share it, but none accesses it.
unsafe impl Memory for Machine {
    fn map(&self, pa: Pa) -> NonNull<[u8; GRANULE_SIZE]> {
        let page = (0..GRANULES).find(|n| page(*n) == pa.0).expect("a Granule");
        NonNull::new(self.pages[page].get()).expect("a page").cast()
    }

    unsafe fn unmap(&self, _: NonNull<[u8; GRANULE_SIZE]>) {}

    fn zero(&self, granule: &mut [u8; GRANULE_SIZE]) {
        let window: *mut [u8; GRANULE_SIZE] = granule;
        let n = self
            .pages
            .iter()
            .position(|page| page.get().cast() == window);
        let n = n.expect("a window");
        self.set_head(n, 0);
        let body = self.body(n);
        self.add(n, body.wrapping_neg());
    }

    fn read_ns<const N: usize>(
        &self,
        _: Pa,
        _: [(usize, &mut [MaybeUninit<u8>]); N],
    ) -> Result<(), NsFault> {
        Err(NsFault)
    }

    fn write_ns<const N: usize>(
        &self,
        _: Pa,
        _: Range<usize>,
        _: [(usize, &[u8]); N],
    ) -> Result<(), NsFault> {
        Err(NsFault)
    }

    fn publish_tables(&self) {}

    fn invalidate_stage2(&self, _: u16, _: Ipa, _: u64, _: i8) {}
}

/// As `loom::model`, where all interleavings take minutes: only those in which CPUs are preempted up to
/// three times.
fn bounded(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Runs the programs of CPUs on one machine, in every way they can interleave.
macro_rules! cpus {
    ($machine:ident => $($program:expr),* $(,)?) => {{
        let threads = [$({
            let $machine = std::sync::Arc::clone(&$machine);
            let program: Box<dyn FnOnce() + Send> = Box::new(move || $program);
            loom::thread::spawn(program)
        }),*];
        for thread in threads {
            thread.join().expect("a CPU's program");
        }
    }};
}
use cpus;
