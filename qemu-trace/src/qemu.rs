// SPDX-License-Identifier: BSD-3-Clause
//! The functions of QEMU that the plugin calls.

use std::ffi::{c_int, c_uint, c_void};

/// Identifies the plugin.
pub type Id = u64;

/// What QEMU says of itself.
#[repr(C)]
pub struct Info {
    _private: [u8; 0],
}

/// A translated block.
#[repr(C)]
pub struct Tb {
    _private: [u8; 0],
}

/// An instruction of it.
#[repr(C)]
pub struct Insn {
    _private: [u8; 0],
}

/// Callbacks read and write no registers.
pub const NO_REGISTERS: c_int = 0;

/// Both loads and stores are wanted.
pub const LOAD_OR_STORE: c_int = 3;

/// What kind of access it was.
pub type MemoryInfo = u32;

/// Called when an instruction accesses memory: the CPU's number, the kind of access, the virtual address,
/// and the pointer of the registration.
pub type Accessed = extern "C" fn(c_uint, MemoryInfo, u64, *mut c_void);

/// Called when an instruction is about to be executed: the CPU's number, and the pointer of the
/// registration.
pub type Executed = extern "C" fn(c_uint, *mut c_void);

unsafe extern "C" {
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, callback: extern "C" fn(Id, *mut Tb));
    pub fn qemu_plugin_register_atexit_cb(
        id: Id,
        callback: extern "C" fn(Id, *mut c_void),
        data: *mut c_void,
    );
    pub fn qemu_plugin_tb_n_insns(block: *const Tb) -> usize;
    pub fn qemu_plugin_tb_get_insn(block: *const Tb, n: usize) -> *mut Insn;
    pub fn qemu_plugin_insn_vaddr(insn: *const Insn) -> u64;
    pub fn qemu_plugin_insn_data(insn: *const Insn, to: *mut c_void, bytes: usize) -> usize;
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut Insn,
        callback: Executed,
        flags: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_mem_cb(
        insn: *mut Insn,
        callback: Accessed,
        flags: c_int,
        accesses: c_int,
        data: *mut c_void,
    );
}
