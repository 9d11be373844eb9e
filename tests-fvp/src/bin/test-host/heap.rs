// SPDX-License-Identifier: BSD-3-Clause
//! Memory for strings and lists: a region that grows, and is reset once all of it is free.

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

struct State {
    used: usize,
    living: usize,
}

// SAFETY: `bytes` is only handed out, in parts that do not overlap, under the lock of `state`.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap {
    bytes: UnsafeCell::new([0; SIZE]),
    state: Mutex::new(State { used: 0, living: 0 }),
};

// SAFETY: parts of `bytes` that live do not overlap, since `used` only falls when none lives.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut state = self.state.lock();
        // The region is aligned to 4 KiB, which is more than the Host needs.
        let start = state.used.next_multiple_of(layout.align());
        let end = start + layout.size();
        if end > SIZE || layout.align() > 4096 {
            return null_mut();
        }
        state.used = end;
        state.living += 1;
        // SAFETY: `start` is inside the region.
        unsafe { self.bytes.get().cast::<u8>().add(start) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
        let mut state = self.state.lock();
        state.living -= 1;
        if state.living == 0 {
            state.used = 0;
        }
    }
}
