// SPDX-License-Identifier: BSD-3-Clause
//! RMM-EL3 interface numbers and manifest layouts against the interface's tables.

use rmm_abi::el3::*;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

#[test]
fn function_identifiers() {
    use fid::*;
    assert_eq!(RMM_RMI_REQ_COMPLETE, 0xC400_018F);
    let fids = [
        RMM_GTSI_DELEGATE,
        RMM_GTSI_UNDELEGATE,
        RMM_ATTEST_GET_REALM_KEY,
        RMM_ATTEST_GET_PLAT_TOKEN,
        RMM_EL3_FEATURES,
        RMM_EL3_TOKEN_SIGN,
        RMM_MEC_REFRESH,
        RMM_IDE_KEY_PROG,
        RMM_IDE_KEY_SET_GO,
        RMM_IDE_KEY_SET_STOP,
        RMM_IDE_KM_PULL_RESPONSE,
        RMM_RESERVE_MEMORY,
    ];
    for (fid, expected) in fids.into_iter().zip(0xC400_01B0u64..=0xC400_01BB) {
        assert_eq!(fid, expected);
    }
    assert_eq!(RMM_BOOT_COMPLETE, 0xC400_01CF);
}

#[test]
fn codes() {
    use boot::*;
    let boot = [
        SUCCESS,
        UNKNOWN,
        VERSION_MISMATCH,
        CPUS_OUT_OF_RANGE,
        CPU_ID_OUT_OF_RANGE,
        INVALID_SHARED_BUFFER,
        MANIFEST_VERSION_NOT_SUPPORTED,
        MANIFEST_DATA_ERROR,
    ];
    assert_eq!(boot, [0, -1, -2, -3, -4, -5, -6, -7]);
    use error::*;
    let error = [
        OK,
        UNK,
        BAD_ADDR,
        BAD_PAS,
        NOMEM,
        INVAL,
        AGAIN,
        FAULT,
        IN_PROGRESS,
    ];
    assert_eq!(error, [0, -1, -2, -3, -4, -5, -6, -7, -8]);
}

#[test]
fn versions() {
    assert_eq!(Version::decode(0x0000_0001), Some(Version::new(0, 1)));
    assert_eq!(Version::decode(0x0002_0000), Some(Version::new(2, 0)));
    assert_eq!(
        Version::decode(0x7FFF_FFFF),
        Some(Version::new(0x7FFF, 0xFFFF))
    );
    assert_eq!(Version::decode(0x8000_0000), None);
    assert_eq!(Version::decode(0x1_0000_0001), None);
    assert_eq!(Version::new(2, 0).encode(), 0x2_0000);
    assert!(Version::new(0, 8) < Version::new(2, 0));
    assert!(Version::new(0, 8) > Version::new(0, 7));
}

#[test]
fn manifest_sizes() {
    assert_eq!(
        [1, 2, 3, 4, 5, 6].map(size_for),
        [16, 40, 64, 112, 168, 168]
    );
    assert_eq!(size_for(0), 0);
}

#[test]
fn manifest_fields() {
    // Word n of the header is n, but for the two words of 32-bit pairs.
    let words: Vec<u64> = (0..21).collect();
    let header = BootManifest::read_from_bytes(words.as_bytes()).unwrap();
    let list = |first| List {
        num: first,
        pointer: first + 1,
        checksum: first + 2,
    };
    assert_eq!(header.version, 0);
    assert_eq!(header.plat_data, 1);
    assert_eq!(header.plat_dram, list(0x10 / 8));
    assert_eq!(header.plat_console, list(0x28 / 8));
    assert_eq!(header.plat_ncoh_region, list(0x40 / 8));
    assert_eq!(header.plat_coh_region, list(0x58 / 8));
    assert_eq!(header.plat_smmu, list(0x70 / 8));
    let rc = header.plat_root_complex;
    assert_eq!(
        (rc.num, rc.rc_info_version, rc._reserved),
        (0x88 / 8, 0x90 / 8, 0)
    );
    assert_eq!((rc.pointer, rc.checksum), (0x98 / 8, 0xA0 / 8));
}

#[test]
fn elements() {
    let words: Vec<u64> = (0..6).collect();
    let console = Console::read_from_bytes(words.as_bytes()).unwrap();
    assert_eq!(
        (console.base, console.map_pages, console.name),
        (0, 1, [2, 0, 0, 0, 0, 0, 0, 0])
    );
    assert_eq!(
        (console.clk_in_hz, console.baud_rate, console.flags),
        (3, 4, 5)
    );
    let bank = MemoryBank::read_from_bytes(words[..2].as_bytes()).unwrap();
    assert_eq!((bank.base, bank.size), (0, 1));
    let smmu = Smmu::read_from_bytes(words[..2].as_bytes()).unwrap();
    assert_eq!((smmu.base, smmu.realm_base), (0, 1));

    let mut rc = RootComplex::new_zeroed();
    (rc.segment, rc.num_root_ports, rc.root_ports) = (1, 2, 3);
    let bytes = rc.as_bytes();
    assert_eq!((bytes.len(), bytes[8], bytes[12], bytes[16]), (24, 1, 2, 3));
    let mut port = RootPort::new_zeroed();
    (port.root_port_id, port.num_bdf_mappings, port.bdf_mappings) = (1, 2, 3);
    let bytes = port.as_bytes();
    assert_eq!((bytes.len(), bytes[0], bytes[4], bytes[8]), (16, 1, 2, 3));
    let mapping = BdfMapping {
        base: 1,
        top: 2,
        off: 3,
        smmu_idx: 4,
    };
    assert_eq!(mapping.as_bytes(), [1, 0, 2, 0, 3, 0, 4, 0]);
}

#[test]
fn checksums() {
    // Two banks; the sum wraps.
    let banks = [0x8000_0000u64, 0x7C00_0000, 0x8_8000_0000, u64::MAX];
    let mut list = List {
        num: 2,
        pointer: 0xFFFF_F000,
        checksum: 0,
    };
    list.checksum = checksum_of([list.num, list.pointer].into_iter().chain(banks));
    assert!(list.checksum_holds(banks));
    list.num = 3;
    assert!(!list.checksum_holds(banks));
    list.num = 2;
    assert!(!list.checksum_holds([0x8000_0001u64, 0x7C00_0000, 0x8_8000_0000, u64::MAX]));

    let empty = List {
        num: 0,
        pointer: 0,
        checksum: 0,
    };
    assert!(empty.checksum_holds([]));
    // An empty list whose pointer is set all the same.
    let mut rc = RootComplexList::new_zeroed();
    rc.pointer = 0x1234_5000;
    rc.checksum = rc.pointer.wrapping_neg();
    rc.rc_info_version = 1;
    assert!(rc.checksum_holds([]), "the version is not summed");
    rc.checksum = 0;
    assert!(!rc.checksum_holds([]));
}

#[test]
fn token_signing() {
    assert_eq!(
        [TOKEN_SIGN_PUSH, TOKEN_SIGN_PULL, TOKEN_SIGN_GET_PUBLIC_KEY],
        [1, 2, 3]
    );
    assert_eq!((SIGN_ALG_ECDSA_P384, HASH_ALG_SHA_384), (0, 1));
    let request = TokenSignRequest {
        sign_alg: 1,
        _reserved0: 0,
        cookie: 2,
        ticket: 3,
        hash_alg: 4,
        _reserved1: 0,
        hash: core::array::from_fn(|n| 0x80 | n.to_le_bytes()[0]),
    };
    let bytes = request.as_bytes();
    assert_eq!(
        (
            bytes[0],
            bytes[8],
            bytes[0x10],
            bytes[0x18],
            bytes[0x20],
            bytes[0x5F]
        ),
        (1, 2, 3, 4, 0x80, 0xBF)
    );
    let mut response = TokenSignResponse::new_zeroed();
    (response.cookie, response.ticket, response.sig_len) = (1, 2, 0x1234);
    (response.signature[0], response.signature[511]) = (5, 6);
    let bytes = response.as_bytes();
    assert_eq!(
        bytes[..0x13],
        [
            1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x34, 0x12, 5
        ]
    );
    assert_eq!(bytes[0x211], 6);
    assert_eq!(bytes.len(), 0x218);
}
