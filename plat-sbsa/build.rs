// SPDX-License-Identifier: BSD-3-Clause
//! Passes the linker script of the monitor's image.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../linker/rmm.ld");
    println!("cargo:rerun-if-changed={script}");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-arg=-T{script}");
        println!("cargo:rustc-link-arg=-zmax-page-size=4096");
    }
}
