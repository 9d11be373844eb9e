// SPDX-License-Identifier: BSD-3-Clause
//! Emulated accesses: each size, sign, width and register (A4.2.3, A4.4).

use rmm_abi::rmi::{RecEnterFlags, RecExitReason};
use rmm_core::fake::{Host, RealmAccess, TestRealm, assert_reason, assert_record};

/// What the Host answers to a read: more bits than the access has.
const VALUE: u64 = 0xFEDC_BA98_F6F5_F4F3;

/// Asserts what the registers are after the access.
type Check = fn([u64; 31]);

/// REC 0 makes this access, and the Host emulates it with `VALUE`. Returns exit.gprs[0].
fn emulate(realm: &TestRealm<'_>, access: RealmAccess, then: Check) -> u64 {
    realm.script(0, move |cpu| async move {
        cpu.mark(0);
        let pc = cpu.context(|context| context.pc);
        cpu.access(access).await.expect("emulated");
        assert_eq!(cpu.context(|context| context.pc), pc + 4);
        then(cpu.gprs());
    });
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::Sync);
    let done = realm.enter_with(0, |enter| {
        enter.flags = RecEnterFlags::EMUL_MMIO.bits();
        enter.gprs[0] = VALUE;
        enter.gprs[1] = 0x666;
    });
    assert_record(&done, RecExitReason::Irq, |_| ());
    exit.gprs[0]
}

// Conformance: RMI_REC_ENTER emul_mmio_read
#[test]
fn reads() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let load = |bytes| {
        RealmAccess::load(realm.unprotected())
            .bytes(bytes)
            .register(9)
    };
    let rows: [(RealmAccess, Check); 10] = [
        (load(1), |x| assert_eq!(x[9], 0xF3)),
        (load(1).signed(), |x| {
            assert_eq!(x[9], 0xFFFF_FFFF_FFFF_FFF3)
        }),
        (load(1).signed().w(), |x| assert_eq!(x[9], 0xFFFF_FFF3)),
        (load(1).w(), |x| assert_eq!(x[9], 0xF3)),
        (load(2), |x| assert_eq!(x[9], 0xF4F3)),
        (load(2).signed(), |x| {
            assert_eq!(x[9], 0xFFFF_FFFF_FFFF_F4F3)
        }),
        (load(2).signed().w(), |x| assert_eq!(x[9], 0xFFFF_F4F3)),
        (load(4).w(), |x| assert_eq!(x[9], 0xF6F5_F4F3)),
        (load(4).signed(), |x| {
            assert_eq!(x[9], 0xFFFF_FFFF_F6F5_F4F3)
        }),
        (load(8), |x| assert_eq!(x[9], VALUE)),
    ];
    for (access, then) in rows {
        assert_eq!(emulate(&realm, access, then), 0, "{access:?}");
    }
}

// Conformance: RMI_REC_ENTER emul_mmio_write
// Conformance: REC exits emulatable_write
#[test]
fn writes() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    for (bytes, written) in [(1, 0x09), (2, 0x0009), (4, 0x5EC_0009), (8, 0x5EC_0009)] {
        let store = RealmAccess::store(realm.unprotected())
            .bytes(bytes)
            .register(9);
        let unchanged = |x: [u64; 31]| assert_eq!(x[9], 0x5EC_0009);
        assert_eq!(emulate(&realm, store, unchanged), written);
    }
}

#[test]
fn every_register() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    for register in 0..32 {
        let store = RealmAccess::store(realm.unprotected()).register(register);
        let written = emulate(&realm, store, |_| ());
        let expected = if register == 31 {
            0
        } else {
            0x5EC_0000 | register as u64
        };
        assert_eq!(written, expected, "X{register}");
    }
    // The other registers do not change.
    let load = RealmAccess::load(realm.unprotected());
    emulate(&realm, load.register(0), |x| {
        assert_eq!((x[0], x[1], x[30]), (VALUE, 0x5EC_0001, 0x5EC_001E));
    });
    emulate(&realm, load.register(30), |x| {
        assert_eq!((x[0], x[29], x[30]), (0x5EC_0000, 0x5EC_001D, VALUE));
    });
    emulate(&realm, load.register(31), |x| {
        for (n, gpr) in (0..).zip(x) {
            assert_eq!(gpr, 0x5EC_0000 | n);
        }
    });
}

// Conformance: REC exits emulatable_read
#[test]
fn far_is_the_offset_in_the_page() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    for offset in [0, 8, 0x7F8, 0xFF8, 0x1008] {
        let ipa = realm.unprotected() + offset;
        realm.script(0, move |cpu| async move {
            let _done = cpu.read(ipa).await;
        });
        let exit = realm.enter(0);
        assert_eq!((exit.far, exit.hpfar), (offset & 0xFFF, ipa >> 12 << 4));
    }
    realm.allow_unfinished_scripts();
}
