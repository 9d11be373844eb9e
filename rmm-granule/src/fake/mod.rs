// SPDX-License-Identifier: BSD-3-Clause
//! Fake physical memory and TLB.
