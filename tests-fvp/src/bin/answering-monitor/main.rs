// SPDX-License-Identifier: BSD-3-Clause
//! A payload for Realm EL2 that only answers: what a call takes with it is EL3's share.
//!
//! Every RMI call succeeds at once, with no result. Delegation asks EL3 for the granule as a
//! monitor has to. RMI_FEATURES results in the physical counter right before the answer.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
core::arch::global_asm!(
    include_str!("entry.s"),
    boot_complete = const rmm_abi::el3::fid::RMM_BOOT_COMPLETE,
    request_complete = const rmm_abi::el3::fid::RMM_RMI_REQ_COMPLETE,
    gtsi_delegate = const rmm_abi::el3::fid::RMM_GTSI_DELEGATE,
    delegate = const rmm_abi::rmi::fid::RMI_GRANULE_DELEGATE,
    features = const rmm_abi::rmi::fid::RMI_FEATURES,
);

/// The assembly relies on the distance: the second function is the first plus one.
const _: () = {
    use rmm_abi::{el3, rmi};
    assert!(rmi::fid::RMI_GRANULE_UNDELEGATE == rmi::fid::RMI_GRANULE_DELEGATE + 1);
    assert!(el3::fid::RMM_GTSI_UNDELEGATE == el3::fid::RMM_GTSI_DELEGATE + 1);
};

/// There is no Rust code that could panic.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// On the build machine there is nothing to run.
#[cfg(not(target_os = "none"))]
fn main() {}
