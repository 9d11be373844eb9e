// SPDX-License-Identifier: BSD-3-Clause
//! Tells the linker where the images lie.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=linker");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let is = |feature| std::env::var_os(feature).is_some();
    // Where TF-A loads BL33; on sbsa-ref, which runs BL33 from flash, where QEMU loads the Host.
    let host: u64 = if is("CARGO_FEATURE_FVP") {
        0x8800_0000
    } else if is("CARGO_FEATURE_SBSA") {
        0x100_6000_0000
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
