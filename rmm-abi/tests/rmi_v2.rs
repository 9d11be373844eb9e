// SPDX-License-Identifier: BSD-3-Clause
//! RMI 2.0 numbers and layouts.

use rmm_abi::rmi::v2::*;
use zerocopy::{FromZeros, IntoBytes};

/// Asserts that `bytes` holds `value` at `offset` and zero elsewhere.
#[track_caller]
fn only(bytes: &[u8], offset: usize, value: &[u8]) {
    for (i, &byte) in bytes.iter().enumerate() {
        let expected = i.checked_sub(offset).and_then(|n| value.get(n));
        assert_eq!(byte, expected.copied().unwrap_or(0), "byte {i:#x}");
    }
}

macro_rules! field_at {
    ($ty:ty, $field:ident = $value:expr, $offset:expr, $bytes:expr) => {{
        let mut page = <$ty>::new_zeroed();
        page.$field = $value;
        only(page.as_bytes(), $offset, &$bytes);
    }};
}

const WORD: u64 = 0x0807_0605_0403_0201;
const BYTES: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

#[test]
fn fids() {
    use fid::*;
    for (fid, number) in [
        (RMI_VERSION, 0x150),
        (RMI_RTT_DATA_MAP_INIT, 0x153),
        (RMI_REALM_ACTIVATE, 0x157),
        (RMI_REALM_CREATE, 0x158),
        (RMI_REALM_DESTROY, 0x159),
        (RMI_REC_CREATE, 0x15A),
        (RMI_REC_DESTROY, 0x15B),
        (RMI_REC_ENTER, 0x15C),
        (RMI_RTT_CREATE, 0x15D),
        (RMI_RTT_DESTROY, 0x15E),
        (RMI_RTT_READ_ENTRY, 0x161),
        (RMI_PSCI_COMPLETE, 0x164),
        (RMI_FEATURES, 0x165),
        (RMI_RTT_FOLD, 0x166),
        (RMI_RTT_INIT_RIPAS, 0x168),
        (RMI_RTT_SET_RIPAS, 0x169),
        (RMI_RMM_CONFIG_SET, 0x16E),
        (RMI_GRANULE_TRACKING_GET, 0x1E1),
        (RMI_RMM_CONFIG_GET, 0x1EC),
        (RMI_RMM_STATE_GET, 0x1EE),
        (RMI_GRANULE_RANGE_DELEGATE, 0x1F1),
        (RMI_GRANULE_RANGE_UNDELEGATE, 0x1F2),
        (RMI_GPT_L1_CREATE, 0x1F3),
        (RMI_RTT_DATA_MAP, 0x1F5),
        (RMI_RTT_DATA_UNMAP, 0x1F6),
        (RMI_RTT_UNPROT_MAP, 0x1FB),
        (RMI_RTT_UNPROT_UNMAP, 0x1FC),
        (RMI_REALM_TERMINATE, 0x201),
        (RMI_RMM_ACTIVATE, 0x202),
        (RMI_OP_CONTINUE, 0x203),
        (RMI_OP_MEM_DONATE, 0x208),
        (RMI_OP_MEM_RECLAIM, 0x209),
        (RMI_OP_CANCEL, 0x20A),
        (RMI_RMM_DEACTIVATE, 0x20F),
        (RMI_GPT_INFO, 0x211),
    ] {
        assert_eq!(fid, 0xC400_0000 + number);
    }
}

#[test]
fn numbers() {
    assert_eq!(RMI_VERSION_2_0, 0x20000);
    assert_eq!(
        [RMI_BUSY, RMI_ERROR_GLOBAL, RMI_INCOMPLETE, RMI_ERROR_GPT],
        [10, 11, 13, 15]
    );
    assert_eq!([rmm_state::INIT, rmm_state::ACTIVE], [0, 2]);
    assert_eq!(
        [tracking::CONVENTIONAL, tracking::RESERVED, tracking::FINE],
        [0, 0, 2]
    );
    assert_eq!(gpt::PLATFORM, 1);
    assert_eq!(rmm_abi::rmi::HashAlgorithm::Sha384 as u8, 2);
}

#[test]
fn config() {
    field_at!(RmmConfig, tracking_region_size = 7, 0x0, [7]);
    field_at!(RmmConfig, rmi_granule_size = 7, 0x8, [7]);
}

#[test]
fn realm_params() {
    field_at!(RealmParams, flags0 = WORD, 0x000, BYTES);
    field_at!(RealmParams, s2sz = 7, 0x008, [7]);
    field_at!(RealmParams, sve_vl = 7, 0x010, [7]);
    field_at!(RealmParams, num_bps = 7, 0x018, [7]);
    field_at!(RealmParams, num_wps = 7, 0x020, [7]);
    field_at!(RealmParams, pmu_num_ctrs = 7, 0x028, [7]);
    field_at!(RealmParams, hash_algo = 7, 0x030, [7]);
    field_at!(
        RealmParams,
        num_aux_planes = 0x0403_0201,
        0x038,
        [1, 2, 3, 4]
    );
    field_at!(RealmParams, rpv = [9; 64], 0x400, [9; 64]);
    field_at!(RealmParams, ats_plane = WORD, 0x440, BYTES);
    field_at!(RealmParams, rtt_base = WORD, 0x808, BYTES);
    field_at!(RealmParams, rtt_level_start = -1, 0x810, [0xFF; 8]);
    field_at!(
        RealmParams,
        rtt_num_start = 0x0403_0201,
        0x818,
        [1, 2, 3, 4]
    );
    field_at!(RealmParams, flags1 = WORD, 0x820, BYTES);
    field_at!(RealmParams, max_num_vdevs = WORD, 0x828, BYTES);
    field_at!(RealmParams, aux_rtt_base = [0, 0, WORD], 0xF90, BYTES);

    let mut params = RealmParams::new_zeroed();
    params.flags0 = 1 << 0 | 1 << 2 | 2 << 5 | 1 << 7;
    let flags = params.realm_flags0();
    assert!(flags.contains(RealmFlags0::LPA2 | RealmFlags0::PMU));
    assert!(!flags.intersects(RealmFlags0::SVE | RealmFlags0::DA));
    assert_eq!((flags.lfa_policy(), flags.mec_policy()), (2, 1));
    assert_eq!(
        [RealmFlags0::SVE, RealmFlags0::DA].map(|flag| flag.bits()),
        [2, 8]
    );
    params.flags1 = 7;
    assert_eq!(params.realm_flags1(), RealmFlags1::all());
}

#[test]
fn rec_params() {
    field_at!(RecParams, flags = WORD, 0x000, BYTES);
    field_at!(RecParams, mpidr = WORD, 0x100, BYTES);
    field_at!(RecParams, pc = WORD, 0x200, BYTES);
    field_at!(RecParams, gprs = [0, 0, 0, 0, 0, 0, 0, WORD], 0x338, BYTES);
}

#[test]
fn rec_run() {
    field_at!(RecEnter, flags = WORD, 0x000, BYTES);
    let mut gprs = [0; 31];
    gprs[30] = WORD;
    field_at!(RecEnter, gprs = gprs, 0x2F0, BYTES);
    field_at!(RecExit, exit_reason = 7, 0x000, [7]);
    field_at!(RecExit, esr = WORD, 0x100, BYTES);
    field_at!(RecExit, far = WORD, 0x108, BYTES);
    field_at!(RecExit, hpfar = WORD, 0x110, BYTES);
    field_at!(RecExit, rtt_tree = WORD, 0x118, BYTES);
    field_at!(RecExit, gprs = gprs, 0x2F0, BYTES);
    field_at!(RecExit, cntp_ctl = WORD, 0x400, BYTES);
    field_at!(RecExit, cntp_cval = WORD, 0x408, BYTES);
    field_at!(RecExit, cntv_ctl = WORD, 0x410, BYTES);
    field_at!(RecExit, cntv_cval = WORD, 0x418, BYTES);
    field_at!(RecExit, ripas_base = WORD, 0x500, BYTES);
    field_at!(RecExit, ripas_top = WORD, 0x508, BYTES);
    field_at!(RecExit, ripas_value = 7, 0x510, [7]);
    field_at!(RecExit, imm = 0x0201, 0x600, [1, 2]);
    field_at!(RecExit, plane = WORD, 0x608, BYTES);
    field_at!(RecExit, pmu_ovf_status = 7, 0x700, [7]);
    let mut run = RecRun::new_zeroed();
    run.exit.exit_reason = 7;
    only(run.as_bytes(), 0x800, &[7]);
}

#[test]
fn feature_registers() {
    let register = FeatureRegister0::new()
        .with_s2sz(48)
        .with_lpa2(true)
        .with_sve(true)
        .with_sve_vl(0xF)
        .with_num_bps(5)
        .with_num_wps(3)
        .with_pmu(true)
        .with_pmu_num_ctrs(6);
    let expected = 48 | 1 << 8 | 1 << 9 | 0xF << 10 | 5 << 14 | 3 << 20 | 1 << 26 | 6 << 27;
    assert_eq!(register.bits(), expected);
    let register = FeatureRegister1::new()
        .with_granule_4kb(true)
        .with_hash_sha_256(true)
        .with_hash_sha_384(true)
        .with_hash_sha_512(true)
        .with_max_recs_order(9)
        .with_l0gptsz(6)
        .with_pps(5);
    assert_eq!(register.bits(), 1 | 7 << 3 | 9 << 6 | 6 << 10 | 5 << 14);
}

#[test]
fn address_ranges() {
    let pa = 0x000F_8765_4320_0000;
    let block = AddressRange::new(pa, 2, 3, MemoryState::Delegated);
    assert_eq!(block.bits(), pa | 3 << 2 | 1);
    assert_eq!((block.address(), block.level(), block.count()), (pa, 2, 3));
    assert!(block.is_delegated() && block.is_valid());
    let pages = AddressRange::new(
        0x1000,
        3,
        AddressRange::MAX_BLOCKS,
        MemoryState::Undelegated,
    );
    assert_eq!(pages.bits(), 1 << 62 | 0x1000 | 1023 << 2);
    assert!(!pages.is_delegated() && pages.is_valid());
    for (size, level) in [(0, 3), (1, 2), (2, 1), (3, 0)] {
        assert_eq!(AddressRange::from_bits(size).level(), level);
        assert_eq!(
            AddressRange::new(0, level, 0, MemoryState::Delegated).bits(),
            size
        );
    }
    // The state of older Hosts.
    let older = AddressRange::from_bits(1 << 63);
    assert!(!older.is_delegated() && older.is_valid());
    for bit in 52..62 {
        assert!(!AddressRange::from_bits(1 << bit).is_valid(), "{bit}");
    }
    assert_eq!(AddressRange::EMPTY.bits(), 0);
}

#[test]
fn mapping_flags() {
    let types = [
        Some(AddressType::None),
        Some(AddressType::Single),
        Some(AddressType::List),
        None,
    ];
    for (bits, address_type) in (0..).zip(types) {
        assert_eq!(MapFlags(bits).address_type(), address_type);
        assert_eq!(UnmapFlags(bits).address_type(), address_type);
    }
    let flags = MapFlags(2 | 0x3FFF << 2 | 5 << 16 | 3 << 19);
    assert_eq!(
        (
            flags.list_count(),
            flags.memory_attribute(),
            flags.permissions()
        ),
        (0x3FFF, 5, 3)
    );
    assert!(flags.is_valid_for_unprotected() && !flags.is_valid_for_data());
    assert!(MapFlags(0xFFFF).is_valid_for_data());
    assert!(!MapFlags(1 << 23).is_valid_for_unprotected());
    assert!(!MapFlags(1 << 63).is_valid_for_unprotected());
    assert_eq!(UnmapFlags(7 << 2).list_capacity(), 7);
    assert!(UnmapFlags(0xFFFF).is_valid() && !UnmapFlags(1 << 16).is_valid());
}
