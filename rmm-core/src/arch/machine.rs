// SPDX-License-Identifier: BSD-3-Clause
//! This CPU as the monitor sees it.

use super::cpu::ArchCpu;
use super::realm::{self, HostState};
use super::realm_timers;
use super::{cache, el3, exception};
use crate::machine::{
    CpuFeatures, DebugState, EntryControls, Exception, Machine, PmuState, RecContext, SimdState,
    SveState, TimerLines, ZRegisters,
};
use rmm_attest::{Hash, SoftHash};
use rmm_granule::{GRANULE_SIZE, Ipa};
use rmm_rtt::Stage2;

impl ArchCpu {
    /// The Host's state of this CPU.
    ///
    /// # Safety
    /// No other reference to it is alive.
    #[allow(
        clippy::mut_from_ref,
        reason = "the state is in a cell of this CPU, not in the value"
    )]
    pub(super) unsafe fn host(&self) -> &mut HostState {
        // SAFETY: the cell is this CPU's, and the caller promises that there is one reference.
        unsafe { &mut *self.data().host.get() }
    }
}

impl Machine for ArchCpu {
    #[inline(always)]
    fn cpu(&self) -> usize {
        self.data().index.get()
    }

    #[inline(always)]
    fn features(&self) -> &CpuFeatures {
        self.features
    }

    #[inline(always)]
    fn call_el3(&self, fid: u64, args: [u64; 3]) -> [u64; 4] {
        self.forget_windows();
        el3::call(fid, args)
    }

    unsafe fn enter_realm(&self, rec: &mut RecContext, stage2: &Stage2, controls: EntryControls) {
        // SAFETY: the state is this CPU's own, made when it booted; a REC is entered once, and its
        // tables are the Realm's while one of its RECs runs, by the trait's contract.
        unsafe { realm::enter(self.host(), rec, stage2, controls) }
    }

    #[inline(always)]
    unsafe fn run_realm(&self, rec: &mut RecContext) -> Exception {
        // SAFETY: the REC is entered, by the trait's contract.
        unsafe { realm::run(rec) }
    }

    unsafe fn leave_realm(&self, rec: &mut RecContext) {
        // SAFETY: the REC is entered, by the trait's contract, with this state of the Host.
        unsafe { realm::leave(self.host(), rec) }
    }

    unsafe fn save_el1(&self, rec: &mut RecContext) {
        // SAFETY: the REC is entered, by the trait's contract.
        unsafe { realm::save_el1(rec) }
    }

    unsafe fn load_el1(&self, rec: &RecContext) {
        // SAFETY: the REC is entered, by the trait's contract.
        unsafe { realm::load_el1(rec) }
    }

    unsafe fn resolve_ipa(&self, va: u64) -> Option<Ipa> {
        // SAFETY: the REC is entered, by the trait's contract.
        unsafe { realm::resolve_ipa(va) }
    }

    #[inline(always)]
    unsafe fn is_streaming(&self) -> bool {
        // SAFETY: as for `load_simd`.
        unsafe { self.host().simd.is_streaming() }
    }

    #[inline]
    fn publish_instructions(&self, granule: &[u8; GRANULE_SIZE]) {
        cache::publish_instructions(granule);
    }

    unsafe fn pend_serror(&self, rec: &mut RecContext, syndrome: u64) {
        // SAFETY: the REC is entered, by the trait's contract.
        unsafe { realm::pend_serror(rec, syndrome) }
    }

    #[inline(always)]
    fn mask_timers(&self, _: &RecContext) -> TimerLines {
        realm_timers::mask()
    }

    unsafe fn load_simd(&self, simd: &SimdState) {
        // SAFETY: a REC is entered with this state of the Host, by the trait's contract.
        unsafe { self.host().simd.give(simd) }
    }

    unsafe fn save_simd(&self, simd: &mut SimdState) {
        // SAFETY: a REC is entered, and `load_simd` came before, by the trait's contract.
        unsafe { self.host().simd.take(simd) }
    }

    unsafe fn load_sve(&self, vl: u8, z: [&ZRegisters; 2], rest: &SveState) {
        // SAFETY: as for `load_simd`; a Realm has SVE only where the CPU has it.
        unsafe { self.host().simd.give_sve(vl, z, rest) }
    }

    unsafe fn save_sve(&self, _: u8, z: [&mut ZRegisters; 2], rest: &mut SveState) {
        // SAFETY: as for `save_simd`, and `load_sve` came before.
        unsafe { self.host().simd.take_sve(z, rest) }
    }

    unsafe fn load_debug(&self, debug: &DebugState) {
        // SAFETY: as for `load_simd`.
        unsafe { self.host().debug.give(debug) }
    }

    unsafe fn save_debug(&self, debug: &mut DebugState) {
        // SAFETY: as for `save_simd`.
        unsafe { self.host().debug.take(debug) }
    }

    unsafe fn load_pmu(&self, counters: u8, pmu: &PmuState) {
        // SAFETY: as for `load_simd`; a Realm has a PMU only where the CPU has one, and no more
        // counters.
        unsafe { self.host().pmu.give(counters, pmu) }
    }

    unsafe fn save_pmu(&self, counters: u8, pmu: &mut PmuState) {
        // SAFETY: as for `save_simd`.
        unsafe { self.host().pmu.take(counters, pmu) }
    }

    fn fatal(&self, why: &str) -> ! {
        exception::fatal(format_args!("{why}"))
    }
}

impl Hash for ArchCpu {
    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        SoftHash.sha256(parts)
    }

    fn sha512(&self, parts: &[&[u8]]) -> [u8; 64] {
        SoftHash.sha512(parts)
    }
}
