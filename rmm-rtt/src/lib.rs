// SPDX-License-Identifier: BSD-3-Clause
//! Placeholder.
#![no_std]
