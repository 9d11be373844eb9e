// SPDX-License-Identifier: BSD-3-Clause
//! Memory for strings and lists: a region that is handed out in blocks of powers of two bytes. A free block
//! is used again for its size; once all are free, the region is whole again.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use spin::Mutex;

/// Bytes.
const SIZE: usize = 4 << 20;

/// The region.
#[repr(C, align(4096))]
struct Heap {
    bytes: UnsafeCell<[u8; SIZE]>,
    state: Mutex<State>,
}

/// Sizes of blocks: powers of two up to [`SIZE`].
const SIZES: usize = SIZE.ilog2() as usize + 1;
/// The smallest one: a free block holds a link.
const SMALLEST: usize = 16;
/// Largest alignment of a block.
const ALIGNED: usize = 4096;

struct State {
    /// Bytes from which on nothing was handed out.
    used: usize,
    living: usize,
    /// Free blocks by the logarithm of their size: one plus the offset of the first, which holds the same of
    /// the next; 0 is none.
    free: [usize; SIZES],
}

impl State {
    const EMPTY: Self = Self {
        used: 0,
        living: 0,
        free: [0; SIZES],
    };
}

/// The size of the block for a layout, and its logarithm.
fn block(layout: Layout) -> Option<(usize, usize)> {
    let size = layout.size().max(layout.align()).max(SMALLEST);
    let size = size.checked_next_power_of_two()?;
    (size <= SIZE && layout.align() <= ALIGNED).then_some((size, size.ilog2() as usize))
}

// SAFETY: `bytes` is only handed out, in parts that do not overlap, under the lock of `state`.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap {
    bytes: UnsafeCell::new([0; SIZE]),
    state: Mutex::new(State::EMPTY),
};

// SAFETY: blocks that live do not overlap: one is either new, behind all others, or was free and of the same
// size. `used` only falls when none lives.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((size, log)) = block(layout) else {
            return null_mut();
        };
        let bytes = self.bytes.get().cast::<u8>();
        let mut state = self.state.lock();
        let start = match state.free[log].checked_sub(1) {
            Some(start) => {
                // SAFETY: a free block, in which `dealloc` has left the link.
                state.free[log] = unsafe { bytes.add(start).cast::<usize>().read() };
                start
            }
            None => {
                // The region is aligned to `ALIGNED`.
                let start = state.used.next_multiple_of(size.min(ALIGNED));
                if start + size > SIZE {
                    return null_mut();
                }
                state.used = start + size;
                start
            }
        };
        state.living += 1;
        // SAFETY: `start` is inside the region.
        unsafe { bytes.add(start) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        let mut state = self.state.lock();
        state.living -= 1;
        if state.living == 0 {
            *state = State::EMPTY;
        } else if let Some((_, log)) = block(layout) {
            // SAFETY: a block of the region that nobody uses any more; it is aligned to its size or
            // `ALIGNED`, and larger than a link.
            unsafe { place.cast::<usize>().write(state.free[log]) };
            state.free[log] = 1 + (place as usize - self.bytes.get() as usize);
        }
    }
}
