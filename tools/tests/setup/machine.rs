// SPDX-License-Identifier: BSD-3-Clause
//! A machine to set up: a folder with programs, a mirror, a cache, and apt's settings. Its name has
//! a space, as have all folders in it that may have one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// The repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What stands in for programs.
pub const STUB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/setup/stub.sh");

/// Programs of every machine.
const REAL: &str = "awk basename bash cat chmod cmp cp cut date dirname env find flock grep gzip head \
                    ln ls mkdir mktemp mv nproc rm sed sh sha256sum sleep sort stat tail tar \
                    timeout touch tr true uname wc xargs";
/// Those that are played.
const PLAYED: &str = "aarch64-linux-gnu-gcc apt-cache apt-get cargo cc dpkg dpkg-deb dpkg-query fiptool id make \
                      qemu-system-aarch64 rustc rustup sudo xz";

/// A machine; its folder is removed with it.
#[derive(Debug)]
pub struct Machine {
    root: Folder,
    environment: BTreeMap<String, String>,
}

/// A folder that may be shared by views of one machine.
#[derive(Clone, Debug)]
struct Folder(std::sync::Arc<Owned>);

#[derive(Debug)]
struct Owned(PathBuf);

impl Drop for Owned {
    fn drop(&mut self) {
        // What is left over hurts nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How a set-up ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status; it has no code if the set-up was killed.
    pub status: std::process::ExitStatus,
    out: String,
    error: String,
}

impl Ended {
    /// What it said, if it succeeded.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status.success(), "{}{}", self.out, self.error);
        assert_eq!(self.error, "");
        self.out
    }

    /// What it said, its complaint last, if it failed.
    #[track_caller]
    pub fn failure(self) -> String {
        assert!(self.status.code().is_some(), "killed");
        assert!(!self.status.success(), "{}", self.out);
        assert_ne!(self.error, "", "{}", self.out);
        // A script that ends at a place that nobody thought of.
        assert!(!self.error.contains("stopped at line"), "{}", self.error);
        self.out + &self.error
    }
}

impl Machine {
    /// A Debian 12 with all programs, a mirror that has all packages, and an empty cache.
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root =
            std::env::temp_dir().join(format!("rmm setup {}-{number} {name}", std::process::id()));
        for folder in [
            "bin",
            "installs",
            "mirror",
            "home",
            "etc/apt/sources.list.d",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let machine = Self {
            root: Folder(Owned(root).into()),
            environment: BTreeMap::new(),
        };
        for program in REAL.split_whitespace() {
            let path = find(program).unwrap_or_else(|| panic!("no {program} here"));
            symlink(path, machine.root().join("bin").join(program)).unwrap();
        }
        for program in PLAYED.split_whitespace() {
            machine.stub(program);
            let installs = machine.root().join("installs").join(program);
            symlink(STUB, installs).unwrap();
        }
        machine.file("etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\n");
        machine.file(
            "etc/apt/sources.list",
            "deb http://mirror/debian bookworm main\n",
        );
        machine.toolchain(&pinned());
        machine.mirror();
        machine
    }

    /// The machine's folder.
    pub fn root(&self) -> &Path {
        &(self.root.0).0
    }

    /// What set-up keeps.
    pub fn cache(&self) -> PathBuf {
        self.root().join("the cache")
    }

    /// The same machine, whose user has set a variable.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut environment = self.environment.clone();
        environment.insert(name.into(), value.into());
        Self {
            root: self.root.clone(),
            environment,
        }
    }

    /// Takes programs away.
    pub fn without(&self, programs: &[&str]) -> Self {
        for program in programs {
            self.remove(&format!("bin/{program}"));
        }
        Self {
            root: self.root.clone(),
            environment: self.environment.clone(),
        }
    }

    /// Adds a program that is played.
    pub fn stub(&self, program: &str) {
        symlink(STUB, self.root().join("bin").join(program)).unwrap();
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.root().join(name));
    }

    /// Writes a file, and the folders above it.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// From now on a program makes a mistake.
    pub fn fault(&self, program: &str, what: &str) {
        let faults = fs::read_to_string(self.root().join("fault")).unwrap_or_default();
        self.file("fault", &format!("{faults}{program} {what}\n"));
    }

    /// How the programs that are played were called with this word.
    pub fn calls(&self, word: &str) -> Vec<String> {
        let calls = fs::read_to_string(self.root().join("calls")).unwrap_or_default();
        let words = |line: &&str| line.split(' ').any(|other| other == word);
        calls.lines().filter(words).map(Into::into).collect()
    }

    /// Adds a toolchain with the libraries of its targets, by the number of its version.
    pub fn toolchain(&self, version: &str) -> PathBuf {
        let folder = format!("home/.rustup/toolchains/{version}-x86_64");
        let script = format!(
            "#!/usr/bin/env bash\ncase $1 in\n\
             --version) echo 'rustc {version} (0)' ;;\n\
             -vV) echo 'rustc {version} (0)'; echo 'host: x86_64' ;;\n\
             --print) [ $2 = sysroot ] && echo \"${{0%/bin/rustc}}\" && exit; echo \"${{0%/bin/rustc}}/lib/rustlib/$4/lib\" ;;\n\
             esac\n"
        );
        let rustc = self.file(&format!("{folder}/bin/rustc"), &script);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(rustc, mode).unwrap();
        for (target, library) in [
            ("aarch64-unknown-none-softfloat", "core"),
            ("aarch64-unknown-none-softfloat", "alloc"),
            ("aarch64-unknown-none-softfloat", "compiler_builtins"),
            ("aarch64-unknown-linux-musl", "std"),
        ] {
            self.file(
                &format!("{folder}/lib/rustlib/{target}/lib/lib{library}-0.rlib"),
                library,
            );
        }
        self.root().join(folder)
    }

    /// Runs set-up.
    pub fn setup(&self, parts: &[&str]) -> Ended {
        let output = self
            .command(&format!("{ROOT}/tools/setup/setup.sh"))
            .args(parts)
            .output()
            .unwrap();
        let Output {
            status,
            stdout,
            stderr,
        } = output;
        Ended {
            status,
            out: String::from_utf8(stdout).unwrap(),
            error: String::from_utf8(stderr).unwrap(),
        }
    }

    /// What a script prints that runs in the repository.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        let output = self.command("bash").args(["-c", script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, program: &str) -> Command {
        let at = |name: &str| self.root().join(name);
        let mut command = Command::new(program);
        command
            .current_dir(ROOT)
            .env_clear()
            .env("PATH", at("bin"))
            .env("HOME", at("home"))
            .env("RUSTUP_HOME", at("home/.rustup"))
            .env("STUBS", self.root())
            .env("RMM_SETUP_ETC", at("etc"))
            .env("RMM_CACHE", self.cache())
            .env("PYTHON", "none")
            .envs(&self.environment)
            .process_group(0);
        command
    }

    /// Fills the mirror with packages as they are named in `versions.env`. A package is a plain tar.
    fn mirror(&self) {
        let text = fs::read_to_string(format!("{ROOT}/tools/versions.env")).unwrap();
        let version = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim_start_matches('=').to_owned()
        };
        let (linux, busybox) = (version("LINUX_VERSION"), version("BUSYBOX_VERSION"));
        let (qemu, rust) = (version("QEMU_VERSION"), version("RUST_SRC_VERSION"));
        let (tfa, pinned) = (version("TFA_VERSION"), pinned());
        let script = format!(
            r#"
            set -e
            cd "$STUBS/mirror"
            package() {{ # NAME VERSION DEPENDS FILE...
                local deb=$1_$(sed 's/:/%3a/' <<<"$2")_arm64.deb
                (cd tree && tar -c --sort=name --mtime=@0 -T /dev/null "${{@:4}}") >"$deb"
                printf 'Package: %s\nVersion: %s\nDepends: %s\nSize: %s\nSHA256: %s\n' "$1" "$2" "$3" \
                    "$(stat -c %s "$deb")" "$(sha256sum <"$deb" | cut -d' ' -f1)" >"$1.show"
                echo "$1 $2" >>index
            }}
            mkdir -p tree/usr/lib/modules/9-arm64/kernel tree/usr/bin tree/usr/src/rustc-{pinned}/library
            echo 'fn main' >tree/usr/src/rustc-{pinned}/library/core
            head -c 100000 /dev/zero >tree/usr/lib/modules/9-arm64/vmlinuz
            for m in configfs tsm_report arm-cca-guest virtio_mmio virtio_blk; do
                echo "module $m" >tree/usr/lib/modules/9-arm64/kernel/$m.ko
            done
            echo 'a shell' >tree/usr/bin/busybox
            package linux-image-arm64 '{linux}' 'linux-image-9-arm64 (= 1), x'
            package linux-image-9-arm64 '{linux}' 'linux-binary-9-arm64, linux-modules-9-arm64'
            package linux-binary-9-arm64 '{linux}' x ./usr/lib/modules/9-arm64/vmlinuz
            package linux-modules-9-arm64 '{linux}' x ./usr/lib/modules/9-arm64/kernel
            package busybox-static '{busybox}' x ./usr/bin/busybox
            package rust-src '{rust}' x ./usr/src
            package qemu-system-arm '{qemu}' x
            package gcc 1 x
            tfa='{tfa}'
            orig=arm-trusted-firmware_${{tfa%-*}}.orig.tar.gz
            tar -c --sort=name --mtime=@0 tree | gzip -n >"$orig"
            printf 'Files:\n 0 1 %s\nChecksums-Sha256:\n %s 1 %s\n' "$orig" \
                "$(sha256sum <"$orig" | cut -d' ' -f1)" "$orig" >"arm-trusted-firmware_$tfa.dsc"
            echo "arm-trusted-firmware $tfa" >>index
            "#
        );
        assert_eq!(self.shell(&script), "");
    }
}

/// The version of Rust that `rust-toolchain.toml` names.
pub fn pinned() -> String {
    let text = fs::read_to_string(format!("{ROOT}/rust-toolchain.toml")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("channel = "));
    line.unwrap().trim_matches('"').to_owned()
}

/// Where a program is.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The hash of each file in a folder, by its path.
pub fn hashes(folder: &Path) -> Vec<(PathBuf, String)> {
    use sha2::{Digest, Sha256};
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let hash = Sha256::digest(fs::read(&path).unwrap());
            let name = path.strip_prefix(folder).unwrap().to_owned();
            found.push((name, format!("{hash:x?}")));
        }
    }
    found.sort();
    found
}
