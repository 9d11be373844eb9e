// SPDX-License-Identifier: BSD-3-Clause
//! RMI numbers and layouts against the specification's tables.

use rmm_abi::mpidr::{index_to_mpidr_el1, mpidr_el1_to_index};
use rmm_abi::rmi::*;
use zerocopy::{FromZeros, IntoBytes};

/// Asserts that `bytes` holds `value` at `offset` and zero elsewhere.
#[track_caller]
fn only(bytes: &[u8], offset: usize, value: &[u8]) {
    for (i, &byte) in bytes.iter().enumerate() {
        let expected = i
            .checked_sub(offset)
            .and_then(|n| value.get(n))
            .copied()
            .unwrap_or(0);
        assert_eq!(byte, expected, "byte {i:#x}");
    }
}

macro_rules! field_at {
    ($ty:ty, $field:ident = $value:expr, $offset:expr, $bytes:expr) => {{
        let mut page = <$ty>::new_zeroed();
        page.$field = $value;
        only(page.as_bytes(), $offset, &$bytes);
    }};
}

#[test]
fn fids_are_the_23_of_the_specification() {
    use fid::*;
    let all = [
        (RMI_VERSION, 0x150),
        (RMI_GRANULE_DELEGATE, 0x151),
        (RMI_GRANULE_UNDELEGATE, 0x152),
        (RMI_DATA_CREATE, 0x153),
        (RMI_DATA_CREATE_UNKNOWN, 0x154),
        (RMI_DATA_DESTROY, 0x155),
        (RMI_REALM_ACTIVATE, 0x157),
        (RMI_REALM_CREATE, 0x158),
        (RMI_REALM_DESTROY, 0x159),
        (RMI_REC_CREATE, 0x15A),
        (RMI_REC_DESTROY, 0x15B),
        (RMI_REC_ENTER, 0x15C),
        (RMI_RTT_CREATE, 0x15D),
        (RMI_RTT_DESTROY, 0x15E),
        (RMI_RTT_MAP_UNPROTECTED, 0x15F),
        (RMI_RTT_READ_ENTRY, 0x161),
        (RMI_RTT_UNMAP_UNPROTECTED, 0x162),
        (RMI_PSCI_COMPLETE, 0x164),
        (RMI_FEATURES, 0x165),
        (RMI_RTT_FOLD, 0x166),
        (RMI_REC_AUX_COUNT, 0x167),
        (RMI_RTT_INIT_RIPAS, 0x168),
        (RMI_RTT_SET_RIPAS, 0x169),
    ];
    assert_eq!(all.len(), 23);
    for (fid, number) in all {
        assert_eq!(fid, 0xC400_0000 + number);
    }
}

#[test]
fn status_word() {
    assert_eq!(
        [
            RMI_SUCCESS,
            RMI_ERROR_INPUT,
            RMI_ERROR_REALM,
            RMI_ERROR_REC,
            RMI_ERROR_RTT
        ],
        [0, 1, 2, 3, 4]
    );
    assert_eq!(status(RMI_ERROR_RTT, 3), 0x304);
    assert_eq!(status(RMI_ERROR_REALM, 1), 0x102);
    assert_eq!(status(RMI_ERROR_RTT, (-1i64).cast_unsigned()), 0xFF04);
    assert_eq!((status_code(0x304), status_index(0x304)), (4, 3));
    assert_eq!(SMCCC_NOT_SUPPORTED, 0xFFFF_FFFF_FFFF_FFFF);
    assert_eq!(RMI_VERSION_1_0, 0x10000);
}

#[test]
fn enumerations_refuse_reserved_encodings() {
    fn values<T: TryFrom<u8> + Into<u64>>() -> Vec<u64> {
        (0..=255)
            .filter_map(|n| T::try_from(n).ok())
            .map(Into::into)
            .collect()
    }
    assert_eq!(values::<RttEntryState>(), [0, 1, 2]);
    assert_eq!(values::<Ripas>(), [0, 1, 2]);
    assert_eq!(values::<RecExitReason>(), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(values::<HashAlgorithm>(), [0, 1, 2]);
    assert_eq!(Ripas::try_from(2), Ok(Ripas::Destroyed));
    assert_eq!(RecExitReason::try_from(4), Ok(RecExitReason::RipasChange));
    assert_eq!(HashAlgorithm::try_from(3), Err(3));
    assert_eq!(RttEntryState::Table as u8, 2);
}

#[test]
fn flag_bits() {
    assert_eq!(
        [RealmFlags::LPA2, RealmFlags::SVE, RealmFlags::PMU].map(|f| f.bits()),
        [1, 2, 4]
    );
    assert_eq!(RecCreateFlags::RUNNABLE.bits(), 1);
    assert_eq!(
        [
            RecEnterFlags::EMUL_MMIO,
            RecEnterFlags::INJECT_SEA,
            RecEnterFlags::TRAP_WFI,
            RecEnterFlags::TRAP_WFE,
            RecEnterFlags::RIPAS_RESPONSE,
        ]
        .map(|f| f.bits()),
        [1, 2, 4, 8, 16]
    );
    assert_eq!(DataFlags::MEASURE.bits(), 1);
    let mut params = RealmParams::new_zeroed();
    params.flags = 0x102;
    assert!(params.realm_flags().contains(RealmFlags::SVE));
    assert_eq!(params.realm_flags().bits(), 0x102);
}

#[test]
fn host_controls_seven_enables_and_tdir() {
    let bits = [1, 2, 3, 4, 5, 6, 7, 14]
        .iter()
        .fold(0, |mask, bit| mask | 1u64 << bit);
    assert_eq!(GICV3_HCR_HOST_MASK, bits);
    assert_eq!(GICV3_HCR_EOI_COUNT_MASK, 0x1F << 27);
}

#[test]
fn feature_register_fields() {
    let none = FeatureRegister0::new();
    assert_eq!(none.bits(), 0);
    let ones = u64::MAX;
    assert_eq!(none.with_s2sz(ones).bits(), 0xFF);
    assert_eq!(none.with_lpa2(true).bits(), 1 << 8);
    assert_eq!(none.with_sve_en(true).bits(), 1 << 9);
    assert_eq!(none.with_sve_vl(ones).bits(), 0xF << 10);
    assert_eq!(none.with_num_bps(ones).bits(), 0x3F << 14);
    assert_eq!(none.with_num_wps(ones).bits(), 0x3F << 20);
    assert_eq!(none.with_pmu_en(true).bits(), 1 << 26);
    assert_eq!(none.with_pmu_num_ctrs(ones).bits(), 0x1F << 27);
    assert_eq!(none.with_hash_sha_256(true).bits(), 1 << 32);
    assert_eq!(none.with_hash_sha_512(true).bits(), 1 << 33);
    assert_eq!(none.with_gicv3_num_lrs(ones).bits(), 0xF << 34);
    assert_eq!(none.with_max_recs_order(ones).bits(), 0xF << 38);

    let all = FeatureRegister0::from_bits((1 << 42) - 1);
    assert_eq!(all.with_num_bps(5).num_bps(), 5);
    assert_eq!(all.with_num_bps(5).num_wps(), 0x3F);
    assert_eq!(all.with_lpa2(false).bits(), ((1 << 42) - 1) & !(1 << 8));
    let real = none
        .with_s2sz(48)
        .with_sve_vl(3)
        .with_max_recs_order(10)
        .with_gicv3_num_lrs(15);
    assert_eq!((real.s2sz(), real.lpa2(), real.sve_vl()), (48, false, 3));
    assert_eq!(
        (real.max_recs_order(), real.gicv3_num_lrs(), real.pmu_en()),
        (10, 15, false)
    );
}

#[test]
fn realm_params_layout() {
    field_at!(
        RealmParams,
        flags = 0x8877_6655_4433_2211,
        0,
        0x8877_6655_4433_2211u64.to_le_bytes()
    );
    field_at!(RealmParams, s2sz = 0xAA, 0x008, [0xAA]);
    field_at!(RealmParams, sve_vl = 0xAA, 0x010, [0xAA]);
    field_at!(RealmParams, num_bps = 0xAA, 0x018, [0xAA]);
    field_at!(RealmParams, num_wps = 0xAA, 0x020, [0xAA]);
    field_at!(RealmParams, pmu_num_ctrs = 0xAA, 0x028, [0xAA]);
    field_at!(RealmParams, hash_algo = 0xAA, 0x030, [0xAA]);
    field_at!(RealmParams, rpv = [0x5A; 64], 0x400, [0x5A; 64]);
    field_at!(RealmParams, vmid = 0x1234, 0x800, [0x34, 0x12]);
    field_at!(RealmParams, rtt_base = 0x1234, 0x808, [0x34, 0x12]);
    field_at!(RealmParams, rtt_level_start = -1, 0x810, [0xFF; 8]);
    field_at!(
        RealmParams,
        rtt_num_start = 0xABCD_EF01,
        0x818,
        [0x01, 0xEF, 0xCD, 0xAB]
    );
}

#[test]
fn rec_params_layout() {
    field_at!(RecParams, flags = 1, 0x000, [1]);
    field_at!(RecParams, mpidr = 2, 0x100, [2]);
    field_at!(RecParams, pc = 3, 0x200, [3]);
    field_at!(RecParams, gprs = [u64::MAX; 8], 0x300, [0xFF; 64]);
    field_at!(RecParams, num_aux = 4, 0x800, [4]);
    field_at!(RecParams, aux = [u64::MAX; 16], 0x808, [0xFF; 128]);
}

#[test]
fn rec_run_layout() {
    field_at!(RecEnter, flags = 1, 0x000, [1]);
    field_at!(RecEnter, gprs = [u64::MAX; 31], 0x200, [0xFF; 248]);
    field_at!(RecEnter, gicv3_hcr = 1, 0x300, [1]);
    field_at!(RecEnter, gicv3_lrs = [u64::MAX; 16], 0x308, [0xFF; 128]);

    field_at!(RecExit, exit_reason = 6, 0x000, [6]);
    field_at!(RecExit, esr = 1, 0x100, [1]);
    field_at!(RecExit, far = 1, 0x108, [1]);
    field_at!(RecExit, hpfar = 1, 0x110, [1]);
    field_at!(RecExit, gprs = [u64::MAX; 31], 0x200, [0xFF; 248]);
    field_at!(RecExit, gicv3_hcr = 1, 0x300, [1]);
    field_at!(RecExit, gicv3_lrs = [u64::MAX; 16], 0x308, [0xFF; 128]);
    field_at!(RecExit, gicv3_misr = 1, 0x388, [1]);
    field_at!(RecExit, gicv3_vmcr = 1, 0x390, [1]);
    field_at!(RecExit, cntp_ctl = 1, 0x400, [1]);
    field_at!(RecExit, cntp_cval = 1, 0x408, [1]);
    field_at!(RecExit, cntv_ctl = 1, 0x410, [1]);
    field_at!(RecExit, cntv_cval = 1, 0x418, [1]);
    field_at!(RecExit, ripas_base = 1, 0x500, [1]);
    field_at!(RecExit, ripas_top = 1, 0x508, [1]);
    field_at!(RecExit, ripas_value = 1, 0x510, [1]);
    field_at!(RecExit, imm = 0x1234, 0x600, [0x34, 0x12]);
    field_at!(RecExit, pmu_ovf_status = 1, 0x700, [1]);

    let mut run = RecRun::new_zeroed();
    run.exit.pmu_ovf_status = 1;
    only(run.as_bytes(), 0xF00, &[1]);
}

#[test]
fn structures_have_the_specified_size() {
    assert_eq!(RealmParams::new_zeroed().as_bytes().len(), 4096);
    assert_eq!(RecParams::new_zeroed().as_bytes().len(), 4096);
    assert_eq!(RecEnter::new_zeroed().as_bytes().len(), 0x800);
    assert_eq!(RecExit::new_zeroed().as_bytes().len(), 0x800);
    assert_eq!(RecRun::new_zeroed().as_bytes().len(), 4096);
}

// Conformance: Bugs others fixed vmpidr_aff3
#[test]
fn mpidr_forms() {
    // The 17th REC is the first with Aff1 = 1.
    assert_eq!(index_to_mpidr(16), 0x100);
    assert_eq!(mpidr_to_index(0x100), 16);
    assert_eq!(mpidr_to_index(0x0102_030F), 0x0010_203F);
    assert_eq!(mpidr_to_index(0xFF), 15, "bits 7:4 are reserved");
    assert_eq!(mpidr_to_index(0xFFFF_FFFF_0000_0000), 0);
    assert_eq!(mpidr_el1_to_index(0x01_0002_030F), 0x0010_203F);
    assert_eq!(mpidr_el1_to_index(0xFFFF_FF00_FF00_00F0), 0, "not affinity");
    assert_eq!(index_to_mpidr_el1(0), 0x8000_0000);
    for index in [
        0, 1, 15, 16, 0xFFF, 0x1000, 0x7FFE, 0xF_FFFF, 0x10_0000, 0xFFF_FFFF,
    ] {
        assert_eq!(mpidr_to_index(index_to_mpidr(index)), index);
        assert_eq!(mpidr_el1_to_index(index_to_mpidr_el1(index)), index);
    }
}
