// SPDX-License-Identifier: BSD-3-Clause
//! Which guard reads and writes which content.

use super::*;
use crate::fake::Pas;
use crate::{Data, GRANULE_SIZE, GranuleState, Memory, NsFault, Pa, REC_HEAD_SIZE, RecAux, Rtt};
use core::mem::MaybeUninit;
use std::sync::atomic::Ordering::Relaxed;

#[test]
fn a_descriptor_keeps_what_is_written() {
    let m = machine();
    let cpu = m.cpu();
    let mut rd = m.delegated(0).transition::<Rd>();
    rd.map(&cpu)[2] = 7;
    assert_eq!(*rd.map(&cpu), [0, 0, 7, 0]);
    cpu.assert_quiet();
}

#[test]
fn tables_are_read_while_open() {
    let m = machine();
    let cpu = m.cpu();
    let mut table = m.delegated(0).transition::<Rtt>().open_table(&cpu);
    table[511].store(5, Relaxed);
    let walker = m.memory.peek(table.granule().pa());
    assert_eq!(walker[511 * 8..], 5u64.to_le_bytes());
    assert_eq!((table.entries()[510], table.entries()[511]), (0, 5));
    let rtt = table.close();
    cpu.assert_quiet();
    drop(rtt);
}

#[test]
fn new_content_is_committed_or_wiped() {
    let m = machine();
    let cpu = m.cpu();
    let mut content = m.delegated(0).new_content::<_, Data>(&cpu);
    assert_eq!(*content, [0; 4096]);
    content[17] = 1;
    drop(content.commit());
    assert_eq!(m.table.state(page(0)), Ok(GranuleState::Data));
    assert_eq!(m.memory.peek(Pa(page(0)))[17], 1);

    let mut content = m.delegated(1).new_content::<_, Data>(&cpu);
    content.fill(0xff);
    drop(content);
    cpu.assert_quiet();
    assert_eq!(m.table.state(page(1)), Ok(GranuleState::Delegated));
    assert_eq!(m.memory.peek(Pa(page(1))), [0; 4096]);
    drop(m.table.lock::<Delegated>(page(1)).unwrap());
}

#[test]
fn data_is_copied_at_any_offset() {
    let m = machine();
    let cpu = m.cpu();
    let data = m.delegated(0).transition::<Data>();
    let pattern: Vec<u8> = (0..=255).cycle().take(4096).collect();
    data.write(&cpu, 0, &pattern);
    assert_eq!(m.memory.peek(Pa(page(0)))[..], pattern);
    for (offset, length) in [
        (0, 0),
        (4096, 0),
        (1, 6),
        (3, 5),
        (3, 20),
        (8, 16),
        (7, 4089),
    ] {
        let mut copy = vec![0; length];
        data.read(&cpu, offset, &mut copy);
        assert_eq!(copy, pattern[offset..][..length]);
        data.write(&cpu, offset, &copy);
        assert_eq!(m.memory.peek(Pa(page(0)))[..], pattern);
    }
}

#[test]
#[should_panic(expected = "leaves its Granule")]
fn data_ends_with_its_granule() {
    let m = machine();
    m.delegated(0)
        .transition::<Data>()
        .read(&m.cpu(), 4090, &mut [0; 7]);
}

fn make_rec(m: &Machine, n: u64) {
    let cpu = m.cpu();
    let mut content = m.delegated(n).new_content::<_, Rec>(&cpu);
    let (head, body) = content.split();
    assert_eq!((*head, body[0]), (0, 0));
    (*head, body[0]) = (0x1234, 1);
    drop(content.commit());
    let content = m.memory.peek(Pa(page(n)));
    assert_eq!(content[..8], 0x1234u64.to_le_bytes());
    assert_eq!(content[REC_HEAD_SIZE..][..8], 1u64.to_le_bytes());
}

#[test]
fn a_new_rec_that_is_not_committed_is_wiped() {
    let m = machine();
    let cpu = m.cpu();
    let mut content = m.delegated(0).new_content::<_, Rec>(&cpu);
    let (head, body) = content.split();
    *head = 1;
    body.fill(2);
    drop(content);
    assert_eq!(m.memory.peek(Pa(page(0))), [0; 4096]);
    drop(m.table.lock::<Delegated>(page(0)).unwrap());
}

#[test]
fn a_running_rec_belongs_to_its_holder() {
    let m = machine();
    let (cpu, other) = (m.cpu(), m.cpu());
    make_rec(&m, 0);
    let mut rec = m.table.lock::<Rec>(page(0)).unwrap();
    let mut window = rec.map(&cpu).unwrap();
    window[0] += 1;
    assert_eq!((*window.head(), window[0]), (0x1234, 2));
    drop(window);

    let mut pinned = rec.pin().unwrap();
    let (mut window, _) = pinned.map_with_aux(&cpu);
    let (head, body) = window.split();
    body[0] += *head;
    // Others may lock the REC and read its head, and no more.
    let mut rec = m.table.lock::<Rec>(page(0)).unwrap();
    assert!(rec.is_running());
    assert_eq!(*rec.head(&other), 0x1234);
    assert!(rec.map(&other).is_none());
    let rec = rec.pin().expect_err("RUNNING");
    drop(window);
    drop(pinned);
    assert!(!rec.is_running());
    let mut pinned = rec.pin().unwrap();
    assert_eq!(pinned.map_with_aux(&cpu).0[0], 0x1236);
}

#[test]
fn a_new_rec_can_be_pinned_at_once() {
    let m = machine();
    let rec = m.delegated(0).transition::<Rec>();
    let pinned = rec.pin().unwrap();
    assert_eq!(m.table.state(page(0)), Ok(GranuleState::Rec));
    drop(m.table.lock::<Rec>(page(0)).unwrap());
    drop(pinned);
    drop(
        m.table
            .lock::<Rec>(page(0))
            .unwrap()
            .wipe_into_delegated(&m.cpu()),
    );
}

#[test]
#[should_panic(expected = "state change of a Granule in use")]
fn a_running_rec_is_not_wiped() {
    let m = machine();
    make_rec(&m, 0);
    let _pinned = m.table.lock::<Rec>(page(0)).unwrap().pin().unwrap();
    drop(
        m.table
            .lock::<Rec>(page(0))
            .unwrap()
            .wipe_into_delegated(&m.cpu()),
    );
}

#[test]
fn auxiliary_granules_belong_to_the_holder_of_the_pin() {
    let m = machine();
    let cpu = m.cpu();
    make_rec(&m, 0);
    drop(m.delegated(1).transition::<RecAux>());
    let mut pinned = m.table.lock::<Rec>(page(0)).unwrap().pin().unwrap();
    let (rec, auxiliary) = pinned.map_with_aux(&cpu);
    // SAFETY: the test made page 1 for this REC and opens it once.
    let mut aux = unsafe { auxiliary.map::<[u8; 4096], 0>(Pa(page(1))) };
    aux[0] = 9;
    drop((aux, rec));
    assert_eq!(m.memory.peek(Pa(page(1)))[0], 9);
}

#[test]
fn a_page_of_realm_memory_is_written_with_zeroes_around_the_parts() {
    let m = machine();
    let cpu = m.cpu();
    let data = m.delegated(0).transition::<Data>();
    data.write(&cpu, 0, &[9; GRANULE_SIZE]);
    data.write_whole(&cpu, &[(0, &[1; 8]), (100, &[2; 3]), (4088, &[3; 8])]);
    let mut expected = [0; GRANULE_SIZE];
    expected[..8].fill(1);
    expected[100..103].fill(2);
    expected[4088..].fill(3);
    assert_eq!(m.memory.peek(Pa(page(0))), expected);
}

#[test]
fn the_hosts_memory_faults_instead_of_failing() {
    let m = machine();
    let cpu = m.cpu();
    let ns = m.table.ns_granule(page(0)).unwrap();
    let mut copy = [0; 16];
    assert_eq!(ns.write(&cpu, 0..0, [(4088, &[3; 8])]), Ok(()));
    assert_eq!(ns.read(&cpu, 4080, &mut copy), Ok(()));
    assert_eq!(copy[8..], [3; 8]);
    let mut value = MaybeUninit::<[u32; 2]>::uninit();
    let value = ns.read_value(&cpu, 4088, &mut value);
    assert_eq!(value.copied(), Ok([0x0303_0303; 2]));
    for pas in [Pas::Realm, Pas::Secure, Pas::Root] {
        m.memory.set_pas(Pa(page(0)), pas);
        let mut value = MaybeUninit::<[u32; 2]>::uninit();
        assert_eq!(ns.read_value(&cpu, 0, &mut value), Err(NsFault));
        assert_eq!(ns.read(&cpu, 0, &mut copy), Err(NsFault));
        assert_eq!(ns.write(&cpu, 0..0, [(0, &copy)]), Err(NsFault));
        assert_eq!(ns.write(&cpu, 0..64, []), Err(NsFault));
        let (mut a, mut b) = (MaybeUninit::<u64>::uninit(), MaybeUninit::<u8>::uninit());
        let both = ns.read_values(&cpu, (0, &mut a), (8, &mut b));
        assert_eq!(both.map(drop), Err(NsFault));
    }
    let nowhere = cpu.read_ns(Pa(0x1000), [(0, &mut [MaybeUninit::uninit(); 16])]);
    assert_eq!(nowhere, Err(NsFault), "no DRAM");
}

#[test]
#[should_panic(expected = "leaves its Granule")]
fn a_copy_from_the_host_ends_with_its_granule() {
    let m = machine();
    let ns = m.table.ns_granule(page(0)).unwrap();
    let _ = ns.read(&m.cpu(), 4081, &mut [0; 16]);
}

#[test]
#[should_panic(expected = "leaves its Granule")]
fn a_copy_to_the_host_begins_in_its_granule() {
    let m = machine();
    let ns = m.table.ns_granule(page(0)).unwrap();
    let _ = ns.write(&m.cpu(), 0..0, [(usize::MAX, &[0; 16])]);
}

#[test]
#[should_panic(expected = "leaves its Granule")]
fn zeroes_for_the_host_end_with_its_granule() {
    let m = machine();
    let ns = m.table.ns_granule(page(0)).unwrap();
    let _ = ns.write(&m.cpu(), 0..GRANULE_SIZE + 64, []);
}

#[test]
fn parts_of_the_hosts_memory_are_copied_and_the_rest_stays() {
    let m = machine();
    let cpu = m.cpu();
    let ns = m.table.ns_granule(page(0)).unwrap();
    m.memory.poke(Pa(page(0)), &[9; GRANULE_SIZE]);
    let written = ns.write(
        &cpu,
        0x800..0xC00,
        [(0x7F8, &[1; 16]), (0x900, &[]), (0xBFF, &[2, 3])],
    );
    assert_eq!(written, Ok(()));
    let mut expected = [9; GRANULE_SIZE];
    expected[0x800..0xC00].fill(0);
    expected[0x7F8..0x808].fill(1);
    expected[0xBFF..0xC01].copy_from_slice(&[2, 3]);
    assert_eq!(m.memory.peek(Pa(page(0))), expected);

    let (mut a, mut b) = (MaybeUninit::<u64>::uninit(), MaybeUninit::<u8>::uninit());
    let both = ns.read_values(&cpu, (0x7F8, &mut a), (0xBFF, &mut b));
    assert_eq!(both.map(|(a, b)| (*a, *b)), Ok((0x0101_0101_0101_0101, 2)));
}

fn opens(pas: Pas) {
    let m = machine();
    let cpu = m.cpu();
    let mut rd = m.delegated(0).transition::<Rd>();
    m.memory.set_pas(rd.pa(), pas);
    drop(rd.map(&cpu));
}

#[test]
#[should_panic(expected = "granule protection fault in the monitor")]
fn a_window_outside_realm_pas_faults() {
    opens(Pas::NonSecure);
}

#[test]
fn a_window_left_open_is_found() {
    let m = machine();
    let cpu = m.cpu();
    let mut rd = m.delegated(0).transition::<Rd>();
    let window = rd.map(&cpu);
    let quiet = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cpu.assert_quiet()));
    assert!(quiet.is_err());
    drop(window);
    cpu.assert_quiet();
}
