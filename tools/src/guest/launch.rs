// SPDX-License-Identifier: BSD-3-Clause
//! The launch description of the guest (format: cca-token/README.md), and what the test Host gets to
//! know of it. The relying party computes the RIM to expect from the same file.

use super::layout::Layout;
use cca_token::launch::description::{Description, Step, parse};
use cca_token::launch::{realm_params, rmi, rpv};
use cca_token::rim::{GRANULE, Rmi};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tests_fvp::guest::{BLOCK, IPA_BITS, RAM};

/// The Realm's personalization value, as text.
const RPV: &str = "a Linux guest";
/// First level of the stage 2 tables.
const START_LEVEL: u64 = 1;
/// Level whose entries are granules.
const LAST_LEVEL: i8 = 3;

/// The files that are loaded.
pub struct Files<'a> {
    /// The kernel.
    pub kernel: &'a Path,
    /// The device tree.
    pub tree: &'a Path,
    /// The initrd, if there is one.
    pub initrd: Option<&'a Path>,
}

/// The description of a launch.
///
/// # Errors
///
/// If a file's name is not UTF-8.
pub fn describe(layout: &Layout, files: &Files<'_>, cpus: u64, rmi: Rmi) -> Result<String, String> {
    let rpv: String = RPV.bytes().map(|byte| format!("{byte:02x}")).collect();
    let (kernel, tree, end) = (layout.kernel, layout.tree, layout.ram_end);
    let number = match rmi {
        Rmi::V1 => "1.0",
        Rmi::V2 => "2.0",
    };
    let mut text = format!(
        "# What the Host does to launch the guest of `make run`. Made by rmm-tools.\n\
         version = 1\n\n\
         [realm]\n\
         rmi = \"{number}\"\n\
         hash = \"sha-256\"\n\
         ipa_bits = {IPA_BITS}\n\
         breakpoints = 2\n\
         watchpoints = 2\n\
         start_level = {START_LEVEL}\n\
         rpv = \"{rpv}\"\n"
    );
    let mut step = |op: &str, rest: &str| {
        text += &format!("\n[[step]]\nop = \"{op}\"\n{rest}");
    };
    // Tables of level 2 first: RAM need not be a multiple of the GiB that entries above them have.
    step(
        "rtt_create",
        &format!("base = {RAM:#x}\ntop = {end:#x}\nlevel = 2\n"),
    );
    let ram = format!("base = {RAM:#x}\ntop = {end:#x}\n");
    if rmi == Rmi::V1 {
        step("init_ripas", &ram);
    }
    let initrd = layout.initrd.as_ref().map(|range| range.start);
    let parts = [
        (kernel, Some(files.kernel)),
        (tree, Some(files.tree)),
        (initrd.unwrap_or_default(), files.initrd),
    ];
    for (ipa, file) in parts {
        if let Some(file) = file {
            let file = quoted(file)?;
            step("data", &format!("ipa = {ipa:#x}\nfile = {file}\n"));
        }
    }
    for index in 0..cpus {
        // The boot protocol: X0 is the device tree's address. PSCI starts the others.
        let runnable = if index == 0 { "" } else { "runnable = false\n" };
        step(
            "rec",
            &format!("index = {index}\n{runnable}pc = {kernel:#x}\ngprs = [{tree:#x}]\n"),
        );
    }
    if rmi == Rmi::V2 {
        // Last, as Linux does it: RMI_RTT_DATA_MAP_INIT needs no RAM, and makes some.
        step("init_ripas", &ram);
    }
    Ok(text)
}

/// A file's name as a TOML string: JSON's escapes are among those of TOML.
fn quoted(file: &Path) -> Result<String, String> {
    let name = file.to_str();
    let name = name.ok_or_else(|| format!("{}: not UTF-8", file.display()))?;
    Ok(serde_json::Value::from(name).to_string())
}

/// A file that has to be in the machine's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The file.
    pub file: PathBuf,
    /// Physical address.
    pub address: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What the Host has to be told to carry out a launch.
#[derive(Debug, PartialEq, Eq)]
pub struct ForHost {
    /// Lines of its parameters.
    pub lines: String,
    /// The files that those name.
    pub files: Vec<Staged>,
    /// First free address behind the files.
    pub end: u64,
}

/// Reads a description in `folder`; its files are to be in memory from `address` on.
///
/// # Errors
///
/// A description that is malformed, that names a file that is not there, or that the test Host
/// cannot carry out.
pub fn for_host(text: &str, folder: &Path, address: u64) -> Result<ForHost, String> {
    let description = parse(text).map_err(|error| error.to_string())?;
    let mut host = ForHost {
        lines: realm(&description)?,
        files: Vec::new(),
        end: address,
    };
    for step in &description.steps {
        host.step(step, folder)?;
    }
    Ok(host)
}

/// The Realm's parameters, named as in RmiRealmParams.
fn realm(description: &Description) -> Result<String, String> {
    let realm = &description.realm;
    let params = realm_params(realm).map_err(|error| error.to_string())?;
    let rmi = rmi(realm).map_err(|error| error.to_string())?;
    let level = realm
        .start_level
        .ok_or("the test Host needs a start_level")?;
    let hash = match realm.hash.as_str() {
        "sha-256" => 0,
        "sha-512" => 1,
        "sha-384" if rmi == Rmi::V2 => 2,
        other => return Err(format!("RMM 1.0 does not measure with {other}")),
    };
    // One table of the start level resolves 9 bits, and each level below it 9 more.
    let levels = u32::from(level.abs_diff(LAST_LEVEL)) + 1;
    let resolved = GRANULE.trailing_zeros() + 9 * levels;
    let tables = 1u64 << u32::from(params.s2sz).saturating_sub(resolved);
    let mut lines = String::new();
    if rmi == Rmi::V2 {
        lines.push_str("rmi 2\n");
    }
    for (name, value) in [
        ("flags", params.flags),
        ("s2sz", params.s2sz.into()),
        ("sve_vl", params.sve_vl.into()),
        ("num_bps", params.num_bps.into()),
        ("num_wps", params.num_wps.into()),
        ("pmu_num_ctrs", params.pmu_num_ctrs.into()),
        ("hash_algo", hash),
    ] {
        // Writing to text does not fail.
        let _ = writeln!(lines, "{name} {value}");
    }
    let rpv = rpv(realm.rpv.as_deref().unwrap_or_default()).map_err(|error| error.to_string())?;
    let _ = write!(
        lines,
        "rtt_level_start {level}\nrtt_num_start {tables}\nrpv "
    );
    for byte in rpv {
        let _ = write!(lines, "{byte:02x}");
    }
    lines.push('\n');
    Ok(lines)
}

impl ForHost {
    fn step(&mut self, step: &Step, folder: &Path) -> Result<(), String> {
        let line = match step {
            Step::RttCreate { base, top, level } => {
                format!("rtt_create {} {} {level}", base.0, top.0)
            }
            Step::InitRipas { base, top } => format!("init_ripas {} {}", base.0, top.0),
            Step::Data {
                ipa,
                file: Some(file),
                size: None,
                measure: true,
            } => {
                let staged = self.stage(folder.join(file))?;
                format!("data {} {} {}", ipa.0, staged.address, staged.bytes)
            }
            Step::Rec {
                runnable, pc, gprs, ..
            } => {
                let gprs: String = gprs.iter().map(|value| format!(" {}", value.0)).collect();
                format!("rec {} {}{gprs}", u64::from(*runnable), pc.0)
            }
            other => return Err(format!("the test Host cannot do {other:?}")),
        };
        self.lines += &line;
        self.lines.push('\n');
        Ok(())
    }

    /// Gives a file a place in memory, the next one.
    ///
    /// # Errors
    ///
    /// If there is no such file.
    pub fn stage(&mut self, file: PathBuf) -> Result<Staged, String> {
        let data = std::fs::metadata(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let staged = Staged {
            file,
            address: self.end,
            bytes: data.len(),
        };
        self.end = (staged.address + staged.bytes).next_multiple_of(BLOCK);
        self.files.push(staged.clone());
        Ok(staged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cca_token::launch::measure;

    const LAYOUT: Layout = Layout {
        ram_end: 0x6000_0000,
        kernel: 0x4000_0000,
        tree: 0x4020_0000,
        initrd: Some(0x4040_0000..0x4040_0003),
    };

    /// A folder with a kernel, a device tree and an initrd.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("rmm-launch-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir(&folder).unwrap();
            for (name, bytes) in [("a \"kernel\"", 5000), ("tree", 10), ("initrd", 3)] {
                std::fs::write(folder.join(name), vec![7; bytes]).unwrap();
            }
            Self(folder)
        }

        fn describe(&self) -> String {
            self.describe_for(Rmi::V1)
        }

        fn describe_for(&self, rmi: Rmi) -> String {
            let file = |name| self.0.join(name);
            let (kernel, tree, initrd) = (file("a \"kernel\""), file("tree"), file("initrd"));
            let files = Files {
                kernel: &kernel,
                tree: &tree,
                initrd: Some(&initrd),
            };
            describe(&LAYOUT, &files, 2, rmi).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn the_host_does_what_the_description_says_in_its_order() {
        let folder = Folder::new("order");
        let host = for_host(&folder.describe(), &folder.0, 0x6C00_0000).unwrap();
        let rpv = "61204c696e7578206775657374";
        assert_eq!(
            host.lines,
            format!(
                "flags 0\ns2sz 40\nsve_vl 0\nnum_bps 1\nnum_wps 1\npmu_num_ctrs 0\nhash_algo 0\n\
                 rtt_level_start 1\nrtt_num_start 2\nrpv {rpv}{}\n\
                 rtt_create {ram} {end} 2\n\
                 init_ripas {ram} {end}\n\
                 data {} {} 5000\n\
                 data {tree} {} 10\n\
                 data {} {} 3\n\
                 rec 1 {} {tree}\n\
                 rec 0 {} {tree}\n",
                "0".repeat(128 - rpv.len()),
                LAYOUT.kernel,
                0x6C00_0000,
                0x6C20_0000,
                0x4040_0000,
                0x6C40_0000,
                LAYOUT.kernel,
                LAYOUT.kernel,
                ram = RAM,
                end = LAYOUT.ram_end,
                tree = LAYOUT.tree,
            )
        );
        assert_eq!(host.end, 0x6C60_0000);
        assert_eq!(host.files[0].file, folder.0.join("a \"kernel\""));
    }

    #[test]
    fn in_rmi_2_0_ram_comes_last_and_the_measurement_is_another() {
        let folder = Folder::new("rmi");
        let (one, two) = (folder.describe(), folder.describe_for(Rmi::V2));
        let host = for_host(&two, &folder.0, 0x6C00_0000).unwrap();
        assert!(host.lines.starts_with("rmi 2\nflags 0\n"), "{}", host.lines);
        let last = format!("init_ripas {RAM} {}\n", LAYOUT.ram_end);
        assert!(host.lines.ends_with(&last), "{}", host.lines);
        let rim = |text: &str| {
            let expected = measure(&parse(text).unwrap(), &folder.0).unwrap();
            expected.rim().to_vec()
        };
        assert_ne!(rim(&one), rim(&two));
        let stronger = two.replacen("sha-256", "sha-384", 1);
        let host = for_host(&stronger, &folder.0, 0).unwrap();
        assert!(host.lines.contains("\nhash_algo 2\n"), "{}", host.lines);
    }

    #[test]
    fn the_description_can_be_measured() {
        let folder = Folder::new("measure");
        let rim = |text: &str| {
            let expected = measure(&parse(text).unwrap(), &folder.0).unwrap();
            expected.rim().to_vec()
        };
        let text = folder.describe();
        let before = rim(&text);
        assert_ne!(
            rim(&text.replacen("breakpoints = 2", "breakpoints = 3", 1)),
            before
        );
        std::fs::write(folder.0.join("tree"), [7, 7, 7, 7, 7, 7, 7, 7, 7, 6]).unwrap();
        assert_ne!(rim(&text), before, "one bit");
    }

    #[test]
    fn what_the_host_cannot_do_is_refused() {
        let folder = Folder::new("refused");
        let text = folder.describe();
        for (from, to) in [
            ("start_level = 1\n", ""),
            ("sha-256", "sha-384"),
            ("file = ", "measure = false\nfile = "),
            ("file = ", "size = 8192\nfile = "),
            ("kernel", "colonel"),
            ("\"init_ripas\"", "\"data_unknown\""),
            ("version = 1", "version = 2"),
        ] {
            let text = text.replacen(from, to, 1);
            assert!(for_host(&text, &folder.0, 0).is_err(), "{to}");
        }
    }
}
