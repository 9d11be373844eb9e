// SPDX-License-Identifier: BSD-3-Clause
//! Expected measurements, held to values that `tests/rim.py` computed (Python's hashlib and struct, the RTT
//! entries listed by hand). Run it and compare if the values here are in doubt.
#![cfg(feature = "verifier")]

use std::path::{Path, PathBuf};

use cca_token::launch::{self, Expected};
use cca_token::rim::{Rim, Rmi};

const EMPTY_256: &str = "44653f9bb1c67506a91a9440910b90abc941f9783a337cf8fd64c614ba7a7b09";
const FULL_256: &str = "1570ccfa9c753c9158ab06aa221c629f65f754b7a9b62fc5fda24853b2048462";
const USUAL_256: &str = "90cbf0019992cce847c9288c5795e4f3ca76e1a55d29d82d624ecfa439b5110a";
const DATA_FIRST_256: &str = "0b141ce5cd5ec9ae875dad656ed7a593a2b1b24714e2a3e54b30d89ec7800ea7";
const PAGES_256: &str = "dac4034e1661871562a665c2dd2a99cc58286f1e25aeb36c0d7eaf547c7661ae";
const EMPTY_512: &str = "31fe396a7eaa569a45c91dcee8dfabbe7228a85cd9451884340a7cd8c25608f7\
                         290931dbb8e14d07c6b785e64e571c7cd4ebeff4224a377197e570da92ecd976";
const FULL_512: &str = "def353d5ed0dc95bf8c9bd14c74a964725f91a92866e5d30d99772b7a565b1f3\
                        7f7a88a71f9088f4bcbbfe7baecfd425eaa15260c5d8bad1e958f8939ef3886f";
const USUAL_512: &str = "17fd151890f424db28224283215f1bb18a8423b03caec7fd6bda5ebb323530d8\
                         e46fa516e8e89da8f216cceee65daea9140289a54b2fefaff8181f14da8b9de1";
const DATA_FIRST_512: &str = "a9470494eda98708f1c6840a5b5dde62b82ebc0183fa9c6b201824764adb57e4\
                              765412e8758e427032beff83d1ad902768114567892d2191775d644529c27246";
const PAGES_512: &str = "0203551e182ceaf4afcc8084b03e3f18b2f8500f9ab35b342b05f3e6305df885\
                         cb3084bd4fa0224f14e444b53a31e3051678216bb7004bec62b81faa1cbba97d";

const USUAL_2_0: [(&str, &str); 3] = [
    (
        "sha-256",
        "3aa17101a9996e88c03d5c63728b2ede887e0c9e35b6d5002c32ce58e0889efa",
    ),
    (
        "sha-384",
        "30b642230a42962e50f07134dcd1d63b86dd32fbb22fe04261428d7b8ed7872d647588d32a9c7da9578801749ce0401b",
    ),
    (
        "sha-512",
        "ed83ee479771254cfcc6762dad564d7f42fb6be43bdbd9de122903369b099f04\
         14a177f70c502a818c87db5894ee870fff87be242fe8497e9a5c3f9e21c9d37b",
    ),
];

/// A folder with the kernel of the tests: 10,000 bytes, each its own position modulo 251.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rim");
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let kernel: Vec<u8> = (0..10_000u32).map(|i| (i % 251) as u8).collect();
    // Tests run at once: the file appears whole or not at all.
    let new = folder.join(format!("kernel-{:?}", std::thread::current().id()));
    std::fs::write(&new, kernel).expect("the test's kernel");
    std::fs::rename(new, folder.join("kernel")).expect("the test's kernel");
    folder
}

fn measure(text: &str) -> Result<Expected, launch::Error> {
    launch::measure(&launch::description::parse(text)?, &folder())
}

/// The RIM by both algorithms; `HASH` in the text stands for the name.
fn both(text: &str) -> [String; 2] {
    ["sha-256", "sha-512"].map(|name| {
        let expected = measure(&text.replace("HASH", name)).expect(name);
        cca_token::hex::encode(expected.rim())
    })
}

const REALM: &str = "version = 1\n[realm]\nhash = 'HASH'\nbreakpoints = 2\nwatchpoints = 2\n";

#[test]
fn realm_parameters() {
    assert_eq!(
        both(&format!("{REALM}ipa_bits = 32")),
        [EMPTY_256, EMPTY_512]
    );
    let full = "version = 1\n[realm]\nhash = 'HASH'\nipa_bits = 52\nlpa2 = true\nsve_bits = 512\n\
                breakpoints = 6\nwatchpoints = 4\npmu_counters = 6";
    assert_eq!(both(full), [FULL_256, FULL_512]);
    let raw = "version = 1\n[realm]\nhash = 'HASH'\nipa_bits = 52\nbreakpoints = 2\nwatchpoints = 2\n\
               [realm.raw]\nflags = 7\nsve_vl = 3\nnum_bps = 5\nnum_wps = 3\npmu_num_ctrs = 6";
    assert_eq!(both(raw), [FULL_256, FULL_512]);
}

const USUAL: &str = r#"
version = 1
[realm]
hash = "HASH"
ipa_bits = 40
sve_bits = 128
breakpoints = 6
watchpoints = 4
rpv = "01ff"
[[step]]
op = "init_ripas"
base = 0x8000_0000
top = 0x1_0000_0000
[[step]]
op = "data"
ipa = 0x8020_0000
file = "kernel"
[[step]]
op = "data"
ipa = 0x8040_0000
size = 1
measure = false
[[step]]
op = "data_unknown"
ipa = 0x8050_0000
size = 0x2000
[[step]]
op = "rec"
index = 0
pc = 0x8020_0000
gprs = [0x8800_0000, "0xffff_ffff_ffff_ffff"]
[[step]]
op = "rec"
index = 1
runnable = false
pc = 0x1234
[[step]]
op = "rec"
index = 2
runnable = false
[[step]]
op = "rec"
index = 3
gprs = [1, 2, 3, 4, 5, 6, "7", "0x8"]
"#;

#[test]
fn the_usual_launch() {
    assert_eq!(both(USUAL), [USUAL_256, USUAL_512]);
    let expected = measure(&USUAL.replace("HASH", "sha-256")).expect("a launch");
    let rpv = expected.rpv.expect("an RPV");
    assert_eq!(rpv[..3], [1, 0xff, 0]);
    assert_eq!(expected.after.len(), 9);
    assert_eq!(
        expected.after[5], expected.after[6],
        "RECs that cannot run are not measured"
    );
}

#[test]
fn json_says_the_same() {
    let json = r#"{"version": 1,
        "realm": {"hash": "HASH", "ipa_bits": 40, "sve_bits": 128, "breakpoints": 6, "watchpoints": 4},
        "step": [
            {"op": "init_ripas", "base": 2147483648, "top": "0x1_0000_0000"},
            {"op": "data", "ipa": "0x80200000", "file": "kernel", "size": 12288},
            {"op": "data", "ipa": "0x80400000", "size": 4096, "measure": false},
            {"op": "rec", "index": 0, "pc": "0x80200000", "gprs": [2281701376, 18446744073709551615]},
            {"op": "rec", "index": 1, "runnable": false},
            {"op": "rec", "index": 2, "runnable": false},
            {"op": "rec", "index": 3, "gprs": [1, 2, 3, 4, 5, 6, 7, 8]}]}"#;
    assert_eq!(both(json), [USUAL_256, USUAL_512]);
}

#[test]
fn entries_are_as_small_as_the_tables() {
    let data_first = format!(
        "{REALM}ipa_bits = 40\n[[step]]\nop = 'data'\nipa = 0x8000_1000\nfile = 'first'\n\
         [[step]]\nop = 'init_ripas'\nbase = 0x8000_0000\ntop = 0x8080_1000"
    );
    let kernel = std::fs::read(folder().join("kernel")).expect("the test's kernel");
    std::fs::write(folder().join("first"), &kernel[..4096]).expect("its first page");
    assert_eq!(both(&data_first), [DATA_FIRST_256, DATA_FIRST_512]);

    let pages = format!(
        "{REALM}ipa_bits = 33\n[[step]]\nop = 'rtt_create'\nbase = 0\ntop = 0x40_0000\nlevel = 3\n\
         [[step]]\nop = 'init_ripas'\nbase = 0\ntop = 0x40_0000"
    );
    assert_eq!(both(&pages), [PAGES_256, PAGES_512]);
}

/// The steps of the README, which are indented by four spaces, are in the format.
#[test]
fn the_readme_is_right() {
    let readme = include_str!("../README.md");
    let (_, section) = readme
        .split_once("### Launch description")
        .expect("the section");
    let (section, _) = section.split_once("### How").expect("the next section");
    let code: String = section
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect();
    let description = launch::description::parse(&code).expect("a description");
    assert_eq!(description.steps.len(), 5);

    // What it says of the tables.
    let split = |first: &str| {
        let range = "op = 'init_ripas'\nbase = 0x8000_0000\ntop = 0x1_0000_0000";
        let step =
            format!("{REALM}ipa_bits = 40\n{first}[[step]]\n{range}").replace("HASH", "sha-256");
        measure(&step).expect("a launch").rim().to_vec()
    };
    let entry = |size: u64, from: u64, to: u64| {
        (from..to)
            .step_by(usize::try_from(size).expect("a small step"))
            .map(move |at| (at, at + size))
    };
    let rim = |first: Option<u64>, entries: Vec<(u64, u64)>| {
        let params = cca_token::rim::RealmParams {
            flags: 0,
            s2sz: 40,
            sve_vl: 0,
            num_bps: 1,
            num_wps: 1,
            pmu_num_ctrs: 0,
            hash: cca_token::hash::HashAlgorithm::Sha256,
        };
        let mut rim = Rim::realm_create(Rmi::V1, &params).expect("sha-256");
        if let Some(ipa) = first {
            rim.data_create(ipa, Some(&[0; 4096]));
        }
        for (base, top) in entries {
            rim.init_ripas_entry(base, top);
        }
        rim.value().to_vec()
    };
    const GIB: u64 = 1 << 30;
    assert_eq!(split(""), rim(None, entry(GIB, 2 * GIB, 4 * GIB).collect()));
    let page = 2 * GIB + (6 << 20) + 0x3000;
    let data = format!("[[step]]\nop = 'data'\nipa = {page}\nsize = 4096\n");
    let around = 2 * GIB + (6 << 20);
    let entries = entry(2 << 20, 2 * GIB, around)
        .chain(entry(4096, around, around + (2 << 20)))
        .chain(entry(2 << 20, around + (2 << 20), 3 * GIB))
        .chain(entry(GIB, 3 * GIB, 4 * GIB));
    assert_eq!(split(&data), rim(Some(page), entries.collect()));
}

#[test]
fn order_matters() {
    let swap = |text: &str| {
        let parts: Vec<&str> = text.split("[[step]]").collect();
        let mut swapped = parts.clone();
        swapped.swap(2, 3);
        swapped.join("[[step]]")
    };
    assert_ne!(both(&swap(USUAL)), [USUAL_256, USUAL_512]);
}

#[test]
fn what_no_monitor_would_do_is_refused() {
    let good = USUAL.replace("HASH", "sha-256");
    for (from, to, why) in [
        ("version = 1", "version = 2", "version 2"),
        ("version = 1", "", "version"),
        ("sha-256", "sha-384", "sha-384"),
        ("sha-256", "md5", "md5"),
        ("ipa_bits = 40", "ipa_bits = 49", "IPA width"),
        ("ipa_bits = 40", "ipa_bits = 400", "400"),
        ("sve_bits = 128", "sve_bits = 64", "SVE"),
        ("sve_bits = 128", "sve_bits = 2176", "SVE"),
        ("breakpoints = 6", "breakpoints = 1", "breakpoints"),
        ("watchpoints = 4", "watchpoints = 65", "watchpoints"),
        (
            "watchpoints = 4",
            "watchpoints = 4\npmu_counters = 32",
            "PMU",
        ),
        (
            "watchpoints = 4",
            "watchpoints = 4\nstart_level = 3",
            "start level",
        ),
        ("watchpoints = 4", "watchpoints = 4\nother = 3", "other"),
        ("\"01ff\"", "\"1\"", "RPV"),
        ("base = 0x8000_0000", "base = 0x8000_0800", "step 0: "),
        ("base = 0x8000_0000", "base = -1", "negative"),
        ("base = 0x8000_0000", "base = '-1'", "not a number"),
        ("base = 0x8000_0000", "base = '0x+1'", "not a number"),
        (
            "base = 0x8000_0000",
            "base = '0x1_0000_0000_0000_0000'",
            "not a number",
        ),
        ("top = 0x1_0000_0000", "top = 0x8000_0000", "empty"),
        ("top = 0x1_0000_0000", "top = 0x100_0000_0000", "Protected"),
        ("op = \"init_ripas\"", "op = \"init\"", "init"),
        (
            "0x8020_0000\nfile = \"kernel\"",
            "0x8020_0000\nfile = \"none\"",
            "none",
        ),
        ("0x8020_0000\nfile", "0x8020_0001\nfile", "aligned"),
        ("size = 1\n", "size = 0\n", "no bytes"),
        (
            "file = \"kernel\"",
            "file = \"kernel\"\nsize = 9999",
            "more than size",
        ),
        (
            "size = 1\n",
            "size = '0xffff_ffff_ffff_ffff'\n",
            "too large",
        ),
        (
            "size = 0x2000",
            "size = '0xffff_ffff_ffff_f000'",
            "beyond 64 bits",
        ),
        ("0x8050_0000", "0x8020_0000", "already"),
        ("index = 1", "index = 2", "index 1"),
        ("[1, 2, 3", "[0, 1, 2, 3", "eight"),
        ("runnable = false", "runnable = 1", "boolean"),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replacen(from, to, 1);
        let error = measure(&bad).expect_err(to).to_string();
        assert!(error.contains(why), "{to}: {error}");
    }
    assert!(measure("{").is_err());
    assert!(measure("").is_err());
}

#[test]
fn through_rmi_2_0() {
    for (name, expected) in USUAL_2_0 {
        let realm = format!("rmi = \"2.0\"\nhash = \"{name}\"");
        let text = USUAL.replace("hash = \"HASH\"", &realm);
        let usual = measure(&text).expect(name);
        assert_eq!(cca_token::hex::encode(usual.rim()), expected, "{name}");
        // Neither parameters nor RIPAS are measured.
        let before_data = [&usual.after[0], &usual.after[1]];
        assert!(
            before_data
                .iter()
                .all(|rim| rim.iter().all(|byte| *byte == 0))
        );
        let other = text.replace("breakpoints = 6", "breakpoints = 3");
        assert_eq!(measure(&other).expect(name).after, usual.after);
    }
    // Data may come first, but a range must still be one.
    let text = "version = 1\n[realm]\nrmi = '2.0'\nhash = 'sha-256'\nipa_bits = 40\nbreakpoints = 2\n\
                watchpoints = 2\n[[step]]\nop = 'data'\nipa = 0\nsize = 1\n[[step]]\nop = 'init_ripas'\nbase = 0\n";
    assert!(measure(&format!("{text}top = 0x1000")).is_ok());
    assert!(measure(&format!("{text}top = 0x1001")).is_err());
    for wrong in [
        text.replace("2.0", "3.0") + "top = 0x1000",
        text.replace("2.0", "1.0").replace("sha-256", "sha-384") + "top = 0x1000",
    ] {
        assert!(measure(&wrong).is_err(), "{wrong}");
    }
}
