// SPDX-License-Identifier: BSD-3-Clause
//! This CPU as the monitor sees it.

use super::cpu::{ArchCpu, DELEGATIONS};
use super::random;
use super::realm;
use super::realm_timers;
use super::registers::*;
use super::{cache, el3};
use crate::machine::{
    CallEl3, CpuFeatures, Delegations, EntryControls, Exception, Machine, OnCpu, RecContext,
    SimdState, SveState, Timer, TimerLines, TimerRegister, ZRegisters,
};
use core::arch::asm;
use rmm_attest::{Hash, Hasher};
use rmm_granule::{GRANULE_SIZE, Ipa};
use rmm_rtt::Stage2;

impl CallEl3 for ArchCpu {
    #[inline]
    fn call_el3(&self, fid: u64, args: [u64; 4]) -> [u64; 4] {
        self.forget_windows();
        el3::call(fid, args)
    }
}

impl Machine for ArchCpu {
    #[inline]
    fn cpu(&self) -> usize {
        self.data().index.get()
    }

    #[inline]
    fn features(&self) -> &CpuFeatures {
        self.features
    }

    #[inline]
    fn delegations(&self) -> &Delegations {
        self.delegations
    }

    fn for_each_cpu(&self, look: &mut dyn FnMut(&Delegations)) {
        DELEGATIONS.iter().for_each(look);
    }

    fn begin_independent_timing(&self) {
        // SAFETY: sets PSTATE.DIT, which every CPU with RME has and which changes no result.
        unsafe { asm!(".arch armv8.4-a", "msr dit, #1", "isb", options(nostack)) };
    }

    fn random(&self) -> Option<[u8; 32]> {
        random::number(&self.features.id)
    }

    fn list_registers(&self) -> u64 {
        self.with_host(|host| host.list_registers())
    }

    #[inline]
    fn is_stuck_in_streaming(&self) -> bool {
        self.with_host(|host| host.simd.is_stuck_in_streaming())
    }

    fn close_host_gic(&self) {
        self.with_host(|host| host.close_gic());
    }

    fn interrupt_pending(&self) -> bool {
        ISR_EL1.get() & set!(ISR_EL1: I | F) != 0
    }

    #[inline]
    fn publish_instructions(&self, granule: &[u8; GRANULE_SIZE]) {
        cache::publish_instructions(granule);
    }

    unsafe fn enter_realm(&self, rec: &mut RecContext, stage2: &Stage2, controls: EntryControls) {
        // SAFETY: the state belongs to this CPU, which initialised it when it booted. The rest is the
        // caller's promise.
        self.with_host(|host| unsafe { realm::enter(host, rec, stage2, controls) });
    }

    unsafe fn leave_realm(&self, rec: &mut OnCpu<'_>) {
        // SAFETY: the REC is entered with this state of the Host. The rest is the caller's promise.
        self.with_host(|host| unsafe { realm::leave(host, rec) });
    }

    #[inline]
    fn run_realm(&self, rec: &mut OnCpu<'_>) -> Exception {
        realm::run(rec)
    }

    fn save_el1(&self, rec: &mut OnCpu<'_>) {
        realm::save_el1(rec);
    }

    fn load_el1(&self, rec: &OnCpu<'_>) {
        realm::load_el1(rec);
    }

    fn resolve_ipa(&self, rec: &OnCpu<'_>, va: u64) -> Option<Ipa> {
        realm::resolve_ipa(rec, va)
    }

    #[inline]
    fn is_streaming(&self, _: &OnCpu<'_>) -> bool {
        self.with_host(|host| host.simd.is_streaming())
    }

    fn pend_serror(&self, rec: &mut OnCpu<'_>, syndrome: u64) {
        realm::pend_serror(rec, syndrome);
    }

    #[inline]
    fn mask_timers(&self, _: &OnCpu<'_>) -> TimerLines {
        realm_timers::mask()
    }

    fn lists_pending_interrupt(&self, _: &OnCpu<'_>) -> bool {
        self.with_host(|host| host.gic.lists_pending())
    }

    fn timer_register(&self, _: &OnCpu<'_>, timer: Timer, register: TimerRegister) -> u64 {
        realm_timers::read(timer, register)
    }

    fn set_timer_register(
        &self,
        _: &mut OnCpu<'_>,
        timer: Timer,
        register: TimerRegister,
        value: u64,
    ) {
        realm_timers::write(timer, register, value);
    }

    fn lend_simd(&self, _: &OnCpu<'_>, simd: &SimdState) {
        self.with_host(|host| host.simd.lend(simd));
    }

    fn reclaim_simd(&self, _: &OnCpu<'_>, simd: &mut SimdState) {
        self.with_host(|host| host.simd.reclaim(simd));
    }

    fn lend_sve(&self, _: &OnCpu<'_>, vl: u8, z: [&ZRegisters; 2], rest: &SveState) {
        self.with_host(|host| host.simd.lend_sve(vl, z, rest));
    }

    fn reclaim_sve(&self, _: &OnCpu<'_>, _: u8, z: [&mut ZRegisters; 2], rest: &mut SveState) {
        self.with_host(|host| host.simd.reclaim_sve(z, rest));
    }

    fn lend_debug(&self, rec: &OnCpu<'_>) {
        self.with_host(|host| host.debug.lend(&rec.debug));
    }

    fn reclaim_debug(&self, rec: &mut OnCpu<'_>) {
        self.with_host(|host| host.debug.reclaim(&mut rec.debug));
    }

    fn lend_pmu(&self, rec: &OnCpu<'_>, counters: u8) {
        self.with_host(|host| host.pmu.lend(counters, &rec.pmu));
    }

    fn reclaim_pmu(&self, rec: &mut OnCpu<'_>, counters: u8) {
        self.with_host(|host| host.pmu.reclaim(counters, &mut rec.pmu));
    }
}

impl Hash for ArchCpu {
    #[inline]
    fn hashing<R>(&self, work: impl FnOnce(&Hasher<'_>) -> R) -> R {
        self.sha.hashing(work)
    }
}
