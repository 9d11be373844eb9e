// SPDX-License-Identifier: BSD-3-Clause
//! `make setup` on machines of every kind, without a network: the scripts of `tools/setup` with
//! stand-ins for apt, rustup and the compilers (`stub.sh`).

mod machine;

use machine::{Machine, hashes, pinned};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Files of the cache that set-up makes for its users.
const MADE: [&str; 5] = [
    "guest/Image",
    "guest/bin/busybox",
    "guest/modules/configfs.ko",
    "tfa/release/bl1.bin",
    "tfa/release/bl31.elf",
];

/// A machine on which set-up has done all.
fn complete(name: &str) -> Machine {
    let machine = Machine::new(name);
    machine.setup(&["machine", "guest"]).success();
    machine
}

/// Everything in the cache that counts: not logs, nor apt's state.
fn content(machine: &Machine) -> Vec<(PathBuf, String)> {
    let mut all = hashes(&machine.cache());
    all.retain(|(path, _)| !path.starts_with("log") && !path.starts_with("apt"));
    all
}

#[test]
fn the_second_set_up_has_nothing_to_do() {
    let machine = complete("twice");
    for file in MADE {
        assert!(machine.cache().join(file).exists(), "{file}");
    }
    let before = content(&machine);
    machine.remove("fault");
    for program in ["apt-get", "make", "dpkg-deb", "rustup"] {
        machine.fault(program, "fail");
    }
    assert_eq!(machine.setup(&["machine", "guest"]).success(), "");
    assert_eq!(content(&machine), before);
    assert!(!machine.cache().join("work").exists());
}

#[test]
fn a_complete_cache_is_not_written() {
    let machine = complete("read only");
    fs::remove_file(machine.cache().join(".lock")).unwrap();
    machine.setup(&["machine", "guest"]).success();
    assert!(!machine.cache().join(".lock").exists());
}

#[test]
fn each_damaged_file_is_reported_and_mended() {
    let machine = complete("damage");
    let before = content(&machine);
    for (number, (file, _)) in before.iter().enumerate() {
        let path = machine.cache().join(file);
        let all = fs::read(&path).unwrap();
        let damages = [&all[..all.len() / 2], &b"other content"[..], &[]];
        fs::write(&path, damages[number % damages.len()]).unwrap();
        let said = machine.setup(&["machine", "guest"]).success();
        if MADE.iter().any(|made| file == Path::new(made)) {
            assert!(said.contains("is damaged"), "{file:?}: {said}");
        }
        if file.starts_with("guest") || file.starts_with("tfa/release") {
            assert_eq!(content(&machine), before, "{file:?}");
        }
        fs::write(&path, &all).unwrap();
    }
}

#[test]
fn damaged_downloads_are_fetched_again() {
    let machine = complete("downloads");
    let before = content(&machine);
    for folder in ["packages", "tfa"] {
        for entry in fs::read_dir(machine.cache().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() || path.extension().is_some_and(|end| end == "sha256") {
                continue;
            }
            let all = fs::read(&path).unwrap();
            fs::write(&path, &all[..all.len() / 2]).unwrap();
            fs::remove_dir_all(machine.cache().join("guest")).unwrap();
            fs::remove_dir_all(machine.cache().join("tfa/release")).unwrap();
            let said = machine.setup(&["machine", "guest"]).success();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name != "guest" {
                assert!(
                    said.contains(&format!("{name} in the cache is damaged")),
                    "{said}"
                );
            }
            assert_eq!(content(&machine), before, "{path:?}");
        }
    }
}

#[test]
fn a_killed_set_up_leaves_nothing_under_a_final_name() {
    let whole = content(&complete("whole"));
    for program in ["apt-get", "dpkg-deb", "make"] {
        let machine = Machine::new(&format!("killed {program}"));
        machine.fault(program, "half");
        let killed = machine.setup(&["machine", "guest"]);
        assert!(killed.status.code().is_none(), "{program}: {killed:?}");
        for (file, hash) in content(&machine) {
            let left = file.starts_with("work") || file == Path::new(".lock");
            assert!(left || whole.contains(&(file.clone(), hash)), "{file:?}");
        }
        machine.remove("fault");
        machine.setup(&["machine", "guest"]).success();
        assert_eq!(content(&machine), whole, "{program}");
    }
}

#[test]
fn a_short_download_is_refused() {
    let machine = Machine::new("short");
    machine.fault("apt-get", "short");
    let refused = machine.setup(&["machine"]).failure();
    assert!(
        refused.contains("is not what its description says"),
        "{refused}"
    );
    machine.remove("fault");
    machine.setup(&["machine"]).success();
    machine.fault("apt-get", "short");
    let refused = machine.setup(&["guest"]).failure();
    assert!(
        refused.contains("is not what the package lists say"),
        "{refused}"
    );
    machine.remove("fault");
    machine.setup(&["guest"]).success();
}

#[test]
fn who_has_the_tools_needs_no_package_manager() {
    let machine = Machine::new("no apt");
    machine.without(&["apt-get", "apt-cache", "dpkg", "dpkg-deb", "dpkg-query"]);
    let tfa = machine.file("my TF-A/bl1.bin", "");
    machine.file("my TF-A/fip.bin", "");
    let tfa = tfa.parent().unwrap().to_str().unwrap();
    let linux = machine.file("my Image", "");
    machine
        .with("TFA", tfa)
        .with("LINUX", linux.to_str().unwrap())
        .setup(&["machine", "guest"])
        .success();
    // Images and tests of the build machine need less.
    let machine = machine.without(&["qemu-system-aarch64", "fiptool", "xz"]);
    machine.setup(&["image", "host"]).success();
    // TF-A's source and the kernel are Debian's.
    let why = machine
        .with("LINUX", linux.to_str().unwrap())
        .setup(&["machine"])
        .failure();
    for words in [
        "QEMU 10.0 or newer",
        "fiptool",
        "Debian, Ubuntu: qemu-system-arm arm-trusted-firmware-tools xz-utils",
        "Fedora:         qemu-system-aarch64",
        "Arch:           qemu-system-aarch64",
    ] {
        assert!(why.contains(words), "{words}: {why}");
    }
    assert!(!why.contains("gcc-aarch64"), "{why}");
}

#[test]
fn without_apt_the_sources_are_named() {
    let machine = Machine::new("sources");
    machine.without(&["apt-get", "apt-cache", "dpkg"]);
    let why = machine.setup(&["machine"]).failure();
    assert!(why.contains("this machine has no apt-get"), "{why}");
    assert!(why.contains("TFA=folder takes"), "{why}");
    let why = machine.setup(&["guest"]).failure();
    assert!(why.contains("LINUX=file takes your own"), "{why}");
}

#[test]
fn a_qemu_of_the_user_is_looked_at() {
    let machine = Machine::new("QEMU");
    machine.without(&["qemu-system-aarch64"]);
    let path = machine.root().join("bin/my qemu");
    machine.stub("my qemu");
    let machine = machine.with("QEMU", path.to_str().unwrap());
    machine.setup(&["machine"]).success();
    let old = machine
        .with("QEMU_IS", "9.2.4")
        .setup(&["machine"])
        .failure();
    assert!(old.contains("is version 9.2.4; 10.0 or newer"), "{old}");
    let none = machine
        .with("QEMU", "/no such qemu")
        .setup(&["machine"])
        .failure();
    assert_eq!(none, "setup: QEMU=/no such qemu is not a program.\n");
}

#[test]
fn what_was_installed_is_looked_at() {
    let machine = Machine::new("installs");
    machine.without(&["qemu-system-aarch64", "xz"]);
    machine.fault("apt-get", "none");
    let why = machine.setup(&["machine"]).failure();
    assert!(why.contains("and yet it is not so"), "{why}");
    assert!(why.contains("QEMU 10.0 or newer"), "{why}");
    machine.remove("fault");
    let said = machine.setup(&["machine"]).success();
    assert!(said.contains("installed qemu xz"), "{said}");
    assert_eq!(machine.calls("install").len(), 3);
}

#[test]
fn a_refusal_of_sudo_is_shown() {
    let machine = Machine::new("sudo");
    machine.without(&["xz"]);
    let machine = machine.with("UID_IS", "1000");
    let why = machine.setup(&["machine"]).failure();
    assert!(why.contains("sudo: a password is required"), "{why}");
    assert!(why.contains("Debian, Ubuntu: xz-utils"), "{why}");
    machine.without(&["sudo"]);
    let why = machine.setup(&["machine"]).failure();
    assert!(why.contains("needs root or sudo"), "{why}");
}

#[test]
fn sources_of_debian_are_found() {
    let sources = |codename: &str, id: &str, list: &str, deb822: &str| {
        let machine = Machine::new("apt");
        let release = format!("ID={id}\nVERSION_CODENAME=\"{codename}\"\n");
        machine.file("etc/os-release", &release);
        machine.file("etc/apt/sources.list", list);
        machine.file("etc/apt/sources.list.d/x.sources", deb822);
        machine.shell(". tools/setup/lib.sh; . tools/setup/apt.sh; debian_mirror")
    };
    let found = "http://mirror/debian\n";
    for (codename, suite) in [
        ("bookworm", "bookworm"),
        ("trixie", "trixie"),
        ("trixie", "stable"),
        ("forky", "testing"),
        ("forky", "forky"),
        ("forky", "sid"),
        ("forky", "unstable"),
        ("duke", "duke"),
    ] {
        let list = format!(
            "# a comment\ndeb http://security {suite}-security main\ndeb http://mirror/debian {suite} contrib main\n"
        );
        assert_eq!(sources(codename, "debian", &list, ""), found, "{suite}");
        let deb822 = format!(
            "Types: deb\nURIs: http://mirror/debian\nSuites: {suite} {suite}-updates\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp\n"
        );
        assert_eq!(sources(codename, "debian", "", &deb822), found, "{suite}");
        // Also where another system knows a Debian.
        assert_eq!(sources("noble", "ubuntu", "", &deb822), found, "{suite}");
        let off = format!("{deb822}Enabled: no\n");
        assert_eq!(sources(codename, "debian", "", &off), "");
    }
    let ubuntu = "deb http://mirror/ubuntu noble main universe\n";
    assert_eq!(sources("noble", "ubuntu", ubuntu, ""), "");
    let other = "deb [signed-by=/usr/share/keyrings/cloud.gpg] http://mirror/x bookworm main\n";
    assert_eq!(sources("bookworm", "debian", other, ""), "");
}

#[test]
fn another_system_names_a_mirror() {
    let machine = Machine::new("Ubuntu");
    machine.file("etc/os-release", "ID=ubuntu\nVERSION_CODENAME=noble\n");
    machine.file(
        "etc/apt/sources.list",
        "deb http://mirror/ubuntu noble main\n",
    );
    let why = machine.setup(&["machine"]).failure();
    assert!(why.contains("DEBIAN_MIRROR=URL names a mirror"), "{why}");
}

#[test]
fn versions_are_compared_by_their_numbers() {
    let machine = Machine::new("versions");
    for (oldest, version, enough) in [
        ("10.0", "10.0.2", true),
        ("10.0", "10.0", true),
        ("10.0", "10", true),
        ("10.0", "9.2.4", false),
        ("10.0", "11.1.3", true),
        ("2.12", "2.8.0", false),
        ("2.12", "2.12.1", true),
        ("2.12.1", "2.12", false),
        ("1.36", "1.037", true),
        ("1", "", false),
        ("1", "unknown", false),
    ] {
        let command = format!(
            ". tools/setup/lib.sh; if have_version {oldest} '{version}'; then echo yes; else echo no; fi"
        );
        let expected = if enough { "yes\n" } else { "no\n" };
        assert_eq!(machine.shell(&command), expected, "{oldest} {version}");
    }
}

#[test]
fn an_adopted_toolchain_stays_when_stable_moves_on() {
    let machine = Machine::new("adopted");
    let ours = machine.toolchain(&pinned());
    let stable = ours.with_file_name("stable-x86_64");
    fs::rename(&ours, &stable).unwrap();
    let said = machine.setup(&["image"]).success();
    assert!(
        said.contains("has the files of the toolchain stable-x86_64"),
        "{said}"
    );
    // As rustup does: another file by that name.
    fs::remove_dir_all(&stable).unwrap();
    fs::rename(machine.toolchain("1.1.0"), &stable).unwrap();
    assert_eq!(machine.setup(&["image"]).success(), "");
}

#[test]
fn a_linked_toolchain_is_mended() {
    let machine = Machine::new("linked");
    let ours = machine.toolchain(&pinned());
    let stable = ours.with_file_name("stable-x86_64");
    fs::rename(&ours, &stable).unwrap();
    std::os::unix::fs::symlink(&stable, &ours).unwrap();
    machine.setup(&["image"]).success();
    assert!(!ours.is_symlink());
    assert_eq!(machine.setup(&["image"]).success(), "");
    // The link's aim has moved on, and the network is away.
    fs::remove_dir_all(&ours).unwrap();
    fs::remove_dir_all(&stable).unwrap();
    fs::rename(machine.toolchain("1.1.0"), &stable).unwrap();
    std::os::unix::fs::symlink(&stable, &ours).unwrap();
    let why = machine.setup(&["image"]).failure();
    assert!(
        why.contains("has moved on to 1.1.0: removes the link"),
        "{why}"
    );
    assert!(why.contains("error: the network is unreachable"), "{why}");
}

#[test]
fn a_target_that_cannot_be_downloaded_is_built() {
    let machine = Machine::new("from source");
    let target = machine
        .toolchain(&pinned())
        .join("lib/rustlib/aarch64-unknown-none-softfloat");
    fs::remove_dir_all(&target).unwrap();
    for program in ["apt-get", "dpkg-deb", "cargo"] {
        machine.fault(program, "half");
        let killed = machine.setup(&["image"]);
        assert!(killed.status.code().is_none(), "{program}: {killed:?}");
        let libraries = target.join("lib");
        assert!(
            !libraries.exists() || fs::read_dir(&libraries).unwrap().next().is_none(),
            "{program}"
        );
        machine.remove("fault");
    }
    let said = machine.setup(&["image"]).success();
    assert!(
        said.contains("built the Rust target aarch64-unknown-none-softfloat"),
        "{said}"
    );
    assert_eq!(machine.setup(&["image"]).success(), "");
    // Damage, and another compiler by the same number.
    let library = target.join("lib/libcore-1.rlib");
    for (file, content) in [
        (library.clone(), "co"),
        (target.join("lib/.built-from-source"), "another rustc"),
    ] {
        fs::write(file, content).unwrap();
        let said = machine.setup(&["image"]).success();
        assert!(said.contains("or is damaged: makes it again"), "{said}");
        assert_eq!(fs::read_to_string(&library).unwrap(), "core\n");
    }
}

/// What `make` gives to the shell of a recipe.
fn make(environment: &[(&str, &str)], arguments: &[&str], recipe: &str) -> String {
    let mut command = std::process::Command::new("make");
    command
        .args(["-s", "--no-print-directory", "-C", machine::ROOT])
        .args(arguments)
        .arg(format!("--eval=print:;@{recipe}"))
        .arg("print")
        // Cargo runs tests with a toolchain that it has chosen.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("MAKEFLAGS")
        // What the make that runs the tests has decided.
        .env_remove("CARGO_TARGET_DIR")
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap() + &error
}

#[test]
fn variables_count_if_make_gets_them() {
    let all = [
        ("TIME", "x"),
        ("RMM", "x"),
        ("LINUX", "x"),
        ("MEM", "x"),
        ("DEMO", "1"),
        ("PLAT", "x"),
    ];
    let recipe = r#"echo "[$(RMM)$$RMM$(LINUX)$$LINUX$$MEM$(DEMO)] $(PLAT)""#;
    assert_eq!(make(&all, &[], recipe), "[] qemu\n");
    assert_eq!(make(&all, &["-e"], recipe), "[] qemu\n");
    assert_eq!(make(&all, &["MEM=1G", "PLAT=fvp"], recipe), "[1G] fvp\n");
    // These are the machine's.
    let machine = [("QEMU", "/a b/$c"), ("RMM_CACHE", "/c d")];
    let recipe = r#"echo $(QEMU_BIN) "$$RMM_CACHE""#;
    assert_eq!(make(&machine, &[], recipe), "/a b/$c /c d\n");
    assert_eq!(make(&machine, &["QEMU=x"], recipe), "x /c d\n");
}

#[test]
fn words_for_the_kernel_arrive_as_they_were_typed() {
    let words = r#"a="b c" $d $(shell echo e) it's"#;
    let recipe = r#"printf '%s\n' "$$APPEND""#;
    assert_eq!(
        make(&[], &[&format!("APPEND={words}")], recipe),
        format!("{words}\n")
    );
}

#[test]
fn flags_of_the_environment_have_no_effect() {
    let flags = [
        ("RUSTFLAGS", "x"),
        ("CARGO_ENCODED_RUSTFLAGS", "x"),
        ("CARGO_BUILD_RUSTFLAGS", "x"),
        ("CARGO_BUILD_TARGET", "x"),
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ("RUSTC_WRAPPER", "x"),
        ("RUSTUP_TOOLCHAIN", "x"),
    ];
    let said = make(&flags, &["-j4"], "env");
    let (environment, error) = said.split_once("make: ").unwrap();
    for (name, _) in flags {
        let here = format!("\n{name}=");
        assert!(!environment.contains(&here), "{name}");
        assert!(error.contains(name), "{error}");
    }
    assert!(!environment.contains("jobserver"), "{environment}");
    let folder = [("CARGO_BUILD_TARGET_DIR", "/a b")];
    let recipe = r#"echo "$$CARGO_TARGET_DIR""#;
    assert_eq!(make(&folder, &[], recipe), "/a b\n");
}

#[test]
fn stubs_can_be_run() {
    let stub = Path::new(machine::STUB);
    assert!(stub.metadata().unwrap().permissions().mode() & 0o111 != 0);
}
