// SPDX-License-Identifier: BSD-3-Clause
//! The demonstration: what a guest does in its first moments, with a line about each step.

use crate::runtime::{call, index, line, mrs};
use core::cell::UnsafeCell;
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_abi::{psci, rsi};
use tests_fvp::protocol::layout::{BASE, SIZE};
use tests_fvp::protocol::{DEMO_DEVICE, DEMO_READS, DEMO_WRITES};
use zerocopy::FromZeros;

/// Context of a REC that the demonstration starts.
pub const CONTEXT: u64 = 0xDE30;

/// Memory for RSI_REALM_CONFIG.
#[repr(C, align(4096))]
struct Page(UnsafeCell<[u64; 512]>);

// SAFETY: only the first REC uses it.
unsafe impl Sync for Page {}

static CONFIG: Page = Page(UnsafeCell::new([0; 512]));

/// What the RECs have counted together.
static COUNT: AtomicU64 = AtomicU64::new(0);
/// What each of the two RECs counts.
const EACH: u64 = 1000;
/// Set by the second REC when it is done.
static DONE: AtomicU64 = AtomicU64::new(0);

/// The first REC.
pub fn first(unprotected: u64) -> ! {
    let version = call(&[rsi::fid::RSI_VERSION, rsi::RSI_VERSION_1_0]);
    assert_eq!(version[0], rsi::RSI_SUCCESS);
    line!(
        "hello from REC {}: RSI {}.{}",
        index(),
        version[2] >> 16,
        version[2] & 0xFFFF
    );

    let page = CONFIG.0.get();
    let status = call(&[rsi::fid::RSI_REALM_CONFIG, page as u64])[0];
    assert_eq!(status, rsi::RSI_SUCCESS);
    let mut config = rsi::RealmConfig::new_zeroed();
    // SAFETY: no reference to the page lives, and every value is a valid configuration.
    config.clone_from(unsafe { &*page.cast::<rsi::RealmConfig>() });
    let personal = config.rpv.split(|byte| *byte == 0).next().unwrap_or(&[]);
    line!(
        "{} bits of IPA, measured with {}, personalized as \"{}\"",
        config.ipa_width,
        if config.hash_algo == 0 {
            "SHA-256"
        } else {
            "SHA-512"
        },
        core::str::from_utf8(personal).unwrap_or("?")
    );

    let state = call(&[rsi::fid::RSI_IPA_STATE_GET, BASE, BASE + SIZE]);
    assert_eq!(
        (state[0], state[2]),
        (rsi::RSI_SUCCESS, rsi::RsiRipas::Ram as u64)
    );
    line!("my memory is RAM up to IPA {:#x}", state[1]);

    let device = with_exposed_provenance_mut::<u32>((unprotected + DEMO_DEVICE) as usize);
    // SAFETY: a device that the Host emulates.
    let answer = unsafe {
        device.write_volatile(DEMO_WRITES as u32);
        device.read_volatile()
    };
    assert_eq!(u64::from(answer), DEMO_READS);
    line!("wrote {DEMO_WRITES:#x} to the Host's device, read {answer:#x}");

    let on = call(&[
        psci::fid::PSCI_CPU_ON,
        1,
        crate::runtime::entry_point(),
        CONTEXT,
    ])[0];
    assert_eq!(on, psci::SUCCESS);
    line!("REC 1 is on");
    for _ in 0..EACH {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    let end = mrs!("cntvct_el0") + 20 * mrs!("cntfrq_el0");
    while DONE.load(Ordering::Acquire) == 0 {
        assert!(mrs!("cntvct_el0") < end, "REC 1 does not come");
        core::hint::spin_loop();
    }
    let count = COUNT.load(Ordering::Relaxed);
    assert_eq!(count, 2 * EACH);
    line!("the two of us counted to {count}; switching off");
    let _ = call(&[psci::fid::PSCI_SYSTEM_OFF]);
    panic!("PSCI_SYSTEM_OFF returned");
}

/// The second REC.
pub fn second() -> ! {
    line!("hello from REC {}", index());
    for _ in 0..EACH {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    DONE.store(1, Ordering::Release);
    let _ = call(&[psci::fid::PSCI_CPU_OFF]);
    panic!("PSCI_CPU_OFF returned");
}
