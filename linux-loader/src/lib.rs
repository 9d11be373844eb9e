// SPDX-License-Identifier: BSD-3-Clause
//! What a loader decides that boots a Linux kernel on the device tree that TF-A leaves: where kernel and
//! initrd go, and what the tree says of them.
//!
//! The machine itself is the program's: `main.rs`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod kernel;
pub mod memory;
pub mod reserve;
pub mod tree;

use core::fmt;

/// Why a kernel cannot be booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The machine has no kernel for the loader.
    NoKernel,
    /// It is no arm64 Image.
    NotAnImage,
    /// It is a big-endian Image, or one from before Linux 3.17, which does not say how much memory it takes.
    UnknownImage,
    /// The device tree cannot be read.
    BadTree,
    /// It reserves no memory for the monitor.
    NoMonitor,
    /// It has no QEMU firmware configuration device.
    NoFwCfg,
    /// That device failed.
    FwCfg,
    /// The command line is too long, or no text.
    BadCommandLine,
    /// RAM has no room for the kernel.
    NoRoomForKernel,
    /// RAM has no room for the initrd.
    NoRoomForInitrd,
    /// The device tree's memory has no room for what is added.
    TreeFull,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKernel => "no kernel: QEMU needs -kernel",
            Self::NotAnImage => "the kernel is not an arm64 Image",
            Self::UnknownImage => "the kernel is big-endian, or older than Linux 3.17",
            Self::BadTree => "the device tree of TF-A cannot be read",
            Self::NoMonitor => "the device tree of TF-A reserves no memory for a monitor",
            Self::NoFwCfg => "the device tree has no QEMU firmware configuration device",
            Self::FwCfg => "QEMU's firmware configuration device failed",
            Self::BadCommandLine => "the command line is longer than 2047 bytes, or not UTF-8",
            Self::NoRoomForKernel => "RAM has no room for the kernel",
            Self::NoRoomForInitrd => "RAM has no room for the initrd",
            Self::TreeFull => "the device tree has no room for the command line",
        })
    }
}

impl core::error::Error for Error {}
