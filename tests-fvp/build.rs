// SPDX-License-Identifier: BSD-3-Clause
//! Tells the linker where the images lie.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=linker");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    // Where TF-A loads BL33.
    let host = if std::env::var_os("CARGO_FEATURE_FVP").is_some() {
        0x8800_0000u64
    } else {
        0x6000_0000
    };
    println!("cargo:rustc-link-arg-bin=test-host=--defsym=HOST_BASE={host:#x}");
    for (bin, script) in [
        ("test-host", "test-host"),
        ("test-realm", "test-realm"),
        ("answering-monitor", "payload"),
        ("echo-payload", "payload"),
    ] {
        println!("cargo:rustc-link-arg-bin={bin}=-T{folder}/linker/{script}.ld");
        println!("cargo:rustc-link-arg-bin={bin}=-znognustack");
    }
}
