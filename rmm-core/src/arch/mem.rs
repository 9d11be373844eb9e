// SPDX-License-Identifier: BSD-3-Clause
//! The functions on memory that compiled code calls by name.

core::arch::global_asm!(include_str!("mem.S"));
