# SPDX-License-Identifier: BSD-3-Clause
# Builds, runs and tests the monitor. `make` alone lists the targets.

# What a user may pass. These count if make itself gets them: that a shell has a variable of the same name
# changes nothing.
VARIABLES := PLAT TFA_DEBUG LINUX INITRD CPUS MEM APPEND RMI INTERACTIVE VERBOSE TAMPER ANCHOR DEMO RMM BASE JSON QUICK PROFILE \
             FUZZ_SECONDS RANDOM_SECONDS SEED VARIANTS BL33 KERNEL SMP RAM ICOUNT RESET_AFTER TIMEOUT QEMU_ARGS
# These say what the machine has, and may come from the environment.
MACHINE   := QEMU TFA RMM_CACHE DEBIAN_MIRROR

# All of them reach recipes as variables of the shell, and as they were typed: with spaces, quotes, dollars.
# Recipes write "$$NAME".
$(foreach v,$(VARIABLES),$(if $(filter environment%,$(origin $v)),$(eval override $v :=)))
$(foreach v,$(VARIABLES) $(MACHINE),$(if $(filter command% environment%,$(origin $v)),$(eval override $v := $$(value $v)))$(eval export $v))

# Flags for Rust that the environment has would make another monitor of the same sources.
FLAGS := $(filter RUSTFLAGS RUSTDOCFLAGS RUSTC RUSTDOC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTC_BOOTSTRAP \
           RUSTUP_TOOLCHAIN CARGO_ENCODED_RUSTFLAGS CARGO_ENCODED_RUSTDOCFLAGS CARGO_INCREMENTAL CARGO_BUILD_% \
           CARGO_PROFILE_% CARGO_UNSTABLE_% CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_%,$(.VARIABLES))
FLAGS := $(filter-out CARGO_BUILD_JOBS CARGO_BUILD_TARGET_DIR,$(FLAGS))
FLAGS := $(foreach v,$(FLAGS),$(if $(filter environment%,$(origin $v)),$v))
ifneq ($(FLAGS),)
$(shell echo 'make: $(sort $(FLAGS)) of the environment has no effect here.' >&2)
unexport $(FLAGS)
endif
# Recipes take no part in make -j, of which cargo would complain.
unexport MAKEFLAGS MFLAGS

# Rust comes from set-up. Else each call of cargo tries to download a target that was built from source.
export RUSTUP_AUTO_INSTALL := 0

override PLAT := $(or $(PLAT),qemu)

ifeq ($(filter $(PLAT),qemu sbsa fvp),)
$(error PLAT=$(PLAT) is not a board: qemu, sbsa or fvp)
endif

include tools/versions.env

override RMM_CACHE        := $(or $(RMM_CACHE),build/cache)
override CARGO_TARGET_DIR := $(or $(value CARGO_TARGET_DIR),$(value CARGO_BUILD_TARGET_DIR),$(CURDIR)/target)
export CARGO_TARGET_DIR
unexport CARGO_BUILD_TARGET_DIR

OUT      := build/$(PLAT)
# Largest image, in bytes: 256 KiB.
IMAGE_LIMIT := 262144

# Of a target program or image, as the shell reads them.
ELF      := "$$CARGO_TARGET_DIR"/$(RUST_TARGET)/release
TFA_DIR  := $(if $(TFA),"$$TFA","$$RMM_CACHE"/tfa/$(if $(filter 1,$(TFA_DEBUG)),debug,release))
QEMU_BIN := $(if $(QEMU),"$$QEMU",qemu-system-aarch64)
SETUP    := tools/setup/setup.sh
TOOL     := cargo run -q -p rmm-tools --
TOOL_SRC := $(shell find tools/Cargo.toml tools/src -type f)

# Crates that exist on the monitor's target only.
TARGET_CRATES := plat-qemu plat-fvp plat-sbsa tests-fvp
HOST_CRATES   := --workspace $(TARGET_CRATES:%=--exclude %)
# The image has names of source files for its crash messages: not of where this user keeps crates.
REMAP         := "target.$(RUST_TARGET).rustflags=['--remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}/registry/src/=']"
TARGET_BUILD  := cargo build --release --target $(RUST_TARGET) --config Cargo.toml --config $(REMAP)
TESTS_BOARD   := $(if $(filter sbsa fvp,$(PLAT)),--features $(PLAT))
# What is known of the TF-A that set-up builds.
OWN_EL3       := $(if $(TFA),,--el3-opens-all)
ON_QEMU       := --qemu $(QEMU_BIN) --board $(PLAT) --flash $(OUT)/flash.bin $(OWN_EL3) \
                 $(if $(filter sbsa,$(PLAT)),--jump $(OUT)/jump.bin --test-host $(OUT)/test-host.bin)

# The guest: Debian's kernel with the checks of guest/init, or what LINUX names. It attests itself to a
# relying party that trusts the key of TF-A for this board, which is a test key.
GUEST    := "$$RMM_CACHE"/guest
SHELL_IN := $(filter 1,$(INTERACTIVE))
OWN      := $(LINUX)$(INITRD)$(SHELL_IN)
RAMDISK  := $(if $(INITRD),"$$INITRD",$(if $(and $(LINUX),$(if $(SHELL_IN),,1)),"",build/guest/initrd))
PARTY    := --relying-party "$$CARGO_TARGET_DIR"/debug/cca-token \
            --anchor $(if $(ANCHOR),"$$ANCHOR",guest/tfa-sample-cpak-TEST-KEY.pem)
ON_LINUX := --folder build/guest --linux $(if $(LINUX),"$$LINUX",$(GUEST)/Image) --initrd $(RAMDISK) \
            --cpus "$${CPUS:-2}" --ram "$${MEM:-512M}" --append "$$APPEND" --rmi "$${RMI:-1}" $(if $(OWN),,$(PARTY)) --tamper "$$TAMPER" \
            $(if $(SHELL_IN),--interactive)
SEEN     := $(if $(filter 1,$(VERBOSE)),--verbose)

# The machine under a program of the user's own.
ON_MACHINE := --smp "$$SMP" --ram "$$RAM" --icount "$$ICOUNT" --reset-after "$$RESET_AFTER" --timeout "$$TIMEOUT" \
              --qemu-args "$$QEMU_ARGS"

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help setup build-machine rust on-qemu platform image host-image flash relying-party run test test-host test-target \
        test-ci test-long test-sweep test-random test-variants test-remedies check-image bench bench-check bench-lower plugin cost size conformance loom lint \
        fuzz miri tsan reproducible clean distclean check-payload check-run host check-host check-board check-virt on-virt FORCE

help:
	@echo 'make setup        gets what is missing for all that follows; each target gets what it needs by itself'
	@echo 'make image        the monitor: build/PLAT/rmm.img and, with symbols, rmm.elf'
	@echo 'make host-image   the bare-metal test Host with its test Realm'
	@echo 'make run          boots TF-A, the monitor and, as a Realm, a Linux kernel on QEMU'
	@echo 'make run BL33=file   a payload of your own in the Normal world, with the terminal as its console'
	@echo 'make host KERNEL=Image   a Linux kernel of your own as Host, at Normal EL2, likewise'
	@echo 'make test         all tests, on this machine and on QEMU'
	@echo 'make test-host    the tests that need nothing but cargo'
	@echo 'make test-target  the tests on QEMU'
	@echo 'make test-sweep   every system register and instruction that a Realm could try'
	@echo 'make test-random  Realms of random code for three minutes (RANDOM_SECONDS, SEED)'
	@echo 'make test-variants  the tests on QEMU with other CPUs and memory (VARIANTS=name,name)'
	@echo 'make test-long    test with whole sweeps, longer random runs, a tampered launch, and other machines'
	@echo 'make test-ci      test, and the target tests on the other machines that are fast'
	@echo 'make test-remedies  the tests on QEMU with all remedies for errata, of which its CPU needs none'
	@echo 'make check-image  barriers, branches, vector registers and panics in the machine code; part of test'
	@echo 'make bench        what calls cost, in instructions; RMM=file: of another monitor'
	@echo 'make bench-check  fails if a call costs more than docs/cost.json says; bench-lower: lowers figures there'
	@echo '    PROFILE="row"  in which functions the instructions of a call lie; QUICK=1: only the table'
	@echo 'make size         the memory that the monitor needs, and how deep its stacks are used'
	@echo 'make loom         the granule lock in all interleavings of CPUs; part of test, test-host'
	@echo 'make lint         format, clippy, documentation, unused dependencies, generated pages'
	@echo 'make conformance  makes docs/conformance.md from the tests; cost: docs/cost.md from docs/cost.json'
	@echo 'make reproducible builds the images in two folders and compares them bit by bit'
	@echo 'make fuzz         random input for the monitor and cca-token, FUZZ_SECONDS=60 for each target; with'
	@echo '                  cargo-fuzz and a nightly Rust. make miri: with its miri component'
	@echo 'make tsan         the tests with threads under ThreadSanitizer; nightly Rust with rust-src'
	@echo 'make clean        removes what was built; distclean: the downloads too'
	@echo
	@echo 'Variables are given to make itself: make run MEM=1G'
	@echo
	@echo 'Of the Realm, for make run:'
	@echo 'LINUX=file        an arm64 Image of your own'
	@echo 'INITRD=file       with this initrd'
	@echo 'CPUS=1|2          its vCPUs (2)'
	@echo 'MEM=size          its memory (512M)'
	@echo 'APPEND="words"    words for its command line'
	@echo 'RMI=1|2           the interface by which the Host makes it (1); 2 needs TFA=folder with TF-A 2.15 or newer'
	@echo 'TAMPER=page|param|token   the Host tampers with Realm or token, and the relying party notices'
	@echo 'INTERACTIVE=1     a shell in the Realm; exit or Ctrl-A X ends it'
	@echo 'VERBOSE=1         everything that is printed, not only phases, checks and faults'
	@echo 'DEMO=1            in place of Linux a Realm of a few KiB that shows each kind of exit'
	@echo 'DEMO=isolation    what a Host can try against a Realm, and what stops it'
	@echo
	@echo 'For make host:'
	@echo 'KERNEL=Image      an arm64 kernel (without it: of Debian, with a shell)'
	@echo 'INITRD=file APPEND="words"   its initrd and command line'
	@echo
	@echo 'For make host, and for make run BL33=file, a raw binary that TF-A enters at 0x60000000:'
	@echo 'SMP=2 RAM=3G      CPUs and memory of the machine'
	@echo 'ICOUNT=shift      time by instructions: each takes 2^shift ns'
	@echo 'RESET_AFTER=s     resets the machine when its console is silent for s seconds'
	@echo 'TIMEOUT=s         fails if the payload does not power off within s seconds'
	@echo 'QEMU_ARGS="words" further arguments for QEMU'
	@echo
	@echo 'Of the monitor and the machine (those with a star may also come from the environment):'
	@echo 'PLAT=board        qemu (the default), sbsa or fvp'
	@echo 'QEMU=path       * a QEMU of your own, $(QEMU_MIN) or newer'
	@echo 'TFA=folder      * a TF-A of your own, $(TFA_MIN) or newer: bl1.bin and fip.bin'
	@echo 'TFA_DEBUG=1       a debug build of TF-A, with its messages'
	@echo 'RMM_CACHE=folder *  where downloads and TF-A are kept (build/cache)'
	@echo 'DEBIAN_MIRROR=URL * where Debian packages come from, if this machine is not Debian'

# Everything; the others only what their users need.
setup:
	@$(SETUP)

build-machine:
	@$(SETUP) host

rust:
	@$(SETUP) image

on-qemu: check-board
	@$(SETUP) machine

# Before anything is fetched or built.
check-board:
ifeq ($(PLAT),fvp)
	@echo 'PLAT=fvp cannot be run here: QEMU has the boards qemu and sbsa.' >&2; exit 1
else ifeq ($(PLAT)$(if $(TFA),+),sbsa)
	@echo 'PLAT=sbsa needs TFA=folder with bl1.bin and fip.bin: TF-A 2.13 or newer, built with PLAT=qemu_sbsa ENABLE_RME=1; no package has it.' >&2; exit 1
endif

# What knows only the board virt.
on-virt: check-virt on-qemu

check-virt:
ifneq ($(PLAT),qemu)
	@echo '$(or $(MAKECMDGOALS),this) has PLAT=qemu only.' >&2; exit 1
endif

# With Debian's kernel.
platform: check-board
	@$(SETUP) machine guest

# --- Images ------------------------------------------------------------------
# Cargo decides what to compile. A stamp notes which file it left; what is made
# of that file is made again when the note changes.
note = @mkdir -p $(@D) && stat -L -c '%n %i %Y %s' $(1) >$@.new && \
       if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

image: $(OUT)/rmm.img

host-image: $(OUT)/test-host.bin

$(OUT)/.rmm: FORCE | rust
	@$(TARGET_BUILD) -p plat-$(PLAT)
	$(call note,$(ELF)/plat-$(PLAT))

$(OUT)/.test-realm: FORCE | rust
	@$(TARGET_BUILD) -p tests-fvp $(TESTS_BOARD) --bin test-realm
	$(call note,$(ELF)/test-realm)

$(OUT)/.test-host: $(OUT)/test-realm.bin FORCE | rust
	@REALM_IMAGE="$(CURDIR)/$<" $(TARGET_BUILD) -p tests-fvp $(TESTS_BOARD) --bin test-host
	$(call note,$(ELF)/test-host)

$(OUT)/rmm.img: $(OUT)/.rmm $(TOOL_SRC)
	@$(TOOL) pack $(ELF)/plat-$(PLAT) $@ --limit $(IMAGE_LIMIT)

$(OUT)/test-realm.bin: $(OUT)/.test-realm $(TOOL_SRC)
	@$(TOOL) pack $(ELF)/test-realm $@

$(OUT)/test-host.bin: $(OUT)/.test-host $(TOOL_SRC)
	@$(TOOL) pack $(ELF)/test-host $@

flash: on-qemu $(OUT)/flash.bin $(if $(filter sbsa,$(PLAT)),$(OUT)/jump.bin $(OUT)/test-host.bin)

$(OUT)/.tfa: FORCE | on-qemu
	$(call note,$(TFA_DIR)/*.bin)

build/sbsa/flash.bin: build/sbsa/.tfa build/sbsa/rmm.img tools/setup/flash.sh
	@tools/setup/flash.sh $(TFA_DIR) build/sbsa/rmm.img '' build/sbsa sbsa

build/sbsa/jump.bin: $(TOOL_SRC)
	@$(TOOL) jump sbsa $@

build/qemu/flash.bin: build/qemu/.tfa build/qemu/rmm.img build/qemu/test-host.bin tools/setup/flash.sh
	@tools/setup/flash.sh $(TFA_DIR) build/qemu/rmm.img build/qemu/test-host.bin build/qemu

# For bench: the monitor to measure, and one that only answers.
BENCH_RMM := $(if $(RMM),"$$RMM",build/qemu/rmm.img)

build/qemu/.bench: FORCE $(if $(RMM),,build/qemu/rmm.img)
	$(call note,$(BENCH_RMM))

build/qemu/bench/flash.bin: build/qemu/.tfa build/qemu/.bench build/qemu/test-host.bin tools/setup/flash.sh
	@tools/setup/flash.sh $(TFA_DIR) $(BENCH_RMM) build/qemu/test-host.bin build/qemu/bench

build/qemu/.answering: FORCE | rust
	@$(TARGET_BUILD) -p tests-fvp --bin answering-monitor
	$(call note,$(ELF)/answering-monitor)

build/qemu/answering.bin: build/qemu/.answering $(TOOL_SRC)
	@$(TOOL) pack $(ELF)/answering-monitor $@

build/qemu/answering/flash.bin: build/qemu/.tfa build/qemu/answering.bin build/qemu/test-host.bin tools/setup/flash.sh
	@tools/setup/flash.sh $(TFA_DIR) build/qemu/answering.bin build/qemu/test-host.bin build/qemu/answering

# A monitor that applies all remedies for errata.
build/qemu/.remedies: FORCE | rust
	@$(TARGET_BUILD) -p plat-qemu --features force-remedies
	$(call note,$(ELF)/plat-qemu)

build/qemu/remedies/rmm.img: build/qemu/.remedies $(TOOL_SRC)
	@$(TOOL) pack $(ELF)/plat-qemu $@ --limit $(IMAGE_LIMIT)

build/qemu/remedies/flash.bin: build/qemu/.tfa build/qemu/remedies/rmm.img build/qemu/test-host.bin tools/setup/flash.sh
	@tools/setup/flash.sh $(TFA_DIR) build/qemu/remedies/rmm.img build/qemu/test-host.bin build/qemu/remedies

# A payload that echoes, for the tests of make run BL33=.
build/qemu/.echo: FORCE | rust
	@$(TARGET_BUILD) -p tests-fvp --bin echo-payload
	$(call note,$(ELF)/echo-payload)

build/qemu/echo.bin: build/qemu/.echo $(TOOL_SRC)
	@$(TOOL) pack $(ELF)/echo-payload $@

build/qemu/echo/flash.bin: build/qemu/.tfa build/qemu/rmm.img build/qemu/echo.bin tools/setup/flash.sh
	@tools/setup/flash.sh $(TFA_DIR) build/qemu/rmm.img build/qemu/echo.bin build/qemu/echo

# The loader of make host.
build/qemu/.linux-loader: FORCE | rust
	@$(TARGET_BUILD) -p linux-loader
	$(call note,$(ELF)/linux-loader)

build/qemu/linux-loader.bin: build/qemu/.linux-loader $(TOOL_SRC)
	@$(TOOL) pack $(ELF)/linux-loader $@

build/qemu/host/flash.bin: build/qemu/.tfa build/qemu/rmm.img build/qemu/linux-loader.bin tools/setup/flash.sh
	@tools/setup/flash.sh $(TFA_DIR) build/qemu/rmm.img build/qemu/linux-loader.bin build/qemu/host

build/qemu/host/initrd: linux-loader/init build/guest/.files $(TOOL_SRC)
	@mkdir -p $(@D)
	@$(TOOL) cpio $@ /init=linux-loader/init /bin/busybox=$(GUEST)/bin/busybox

build/guest/.cca-guest: FORCE | platform
	@mkdir -p $(@D)
	@tools/setup/cca-guest.sh build/guest/cca-guest
	$(call note,build/guest/cca-guest)

build/guest/.files: FORCE | platform
	$(call note,$(GUEST)/bin/* $(GUEST)/modules/* guest/init)

build/guest/initrd: build/guest/.files build/guest/.cca-guest $(TOOL_SRC)
	@for m in $(GUEST)/modules/*; do set -- "$$@" "/lib/modules/$${m##*/}=$$m"; done; \
	    $(TOOL) cpio $@ /init=guest/init /bin/busybox=$(GUEST)/bin/busybox /bin/cca-guest=build/guest/cca-guest "$$@"

relying-party: FORCE | rust
	@cargo build -q -p cca-token

FORCE:

# --- Runs and tests ----------------------------------------------------------

ifneq ($(BL33),)
run: check-payload on-virt build/qemu/.tfa build/qemu/rmm.img
	@tools/setup/flash.sh $(TFA_DIR) build/qemu/rmm.img "$$BL33" build/qemu/payload
	@$(TOOL) payload --qemu $(QEMU_BIN) --flash build/qemu/payload/flash.bin $(ON_MACHINE)

# Before anything is fetched or built.
check-payload: | build-machine
	@$(TOOL) payload --check --bl33 "$$BL33" $(ON_MACHINE)
else ifneq ($(DEMO),)
run: check-run flash
	@$(TOOL) run $(ON_QEMU) $(SEEN) --demo "$$DEMO"

check-run: | build-machine
	@$(TOOL) run --check --demo "$$DEMO"
else
# Before anything is fetched or built.
check-run: | build-machine
	@$(TOOL) run --check --linux "$${LINUX:--}" --initrd "$${INITRD:--}" --folder build/guest --cpus "$${CPUS:-2}" \
	    --ram "$${MEM:-512M}" --append "$$APPEND" --rmi "$${RMI:-1}" --tfa $(TFA_DIR)/bl1.bin $(if $(TFA),,--tfa-release $(TFA_VERSION))

run: check-run $(if $(LINUX),,platform) flash $(filter build/%,$(RAMDISK)) $(if $(OWN),,relying-party)
	@$(if $(LINUX),,cat $(GUEST)/version;) $(TOOL) run $(ON_QEMU) $(SEEN) $(ON_LINUX)
endif

# Without KERNEL: Debian's kernel, with a shell.
HOST_INITRD := $(if $(INITRD),"$$INITRD",$(if $(KERNEL),"",build/qemu/host/initrd))

host: check-virt check-host $(if $(KERNEL),,platform) on-virt build/qemu/host/flash.bin $(filter build/%,$(HOST_INITRD))
	@$(TOOL) host --qemu $(QEMU_BIN) --flash build/qemu/host/flash.bin $(ON_MACHINE) --append "$$APPEND" \
	    --kernel $(if $(KERNEL),"$$KERNEL",$(GUEST)/Image) --initrd $(HOST_INITRD)

check-host: | build-machine
	@$(TOOL) host --check --kernel "$$KERNEL" --initrd "$$INITRD" --append "$$APPEND" $(ON_MACHINE)

TEST := $(TOOL) test $(ON_QEMU) --folder build/guest --linux $(GUEST)/Image --initrd build/guest/initrd \
        $(PARTY) $(if $(filter sbsa,$(PLAT)),--target-only,--payload build/qemu/echo/flash.bin \
        --host build/qemu/host/flash.bin $(GUEST)/Image build/qemu/host/initrd)

check-image: build/qemu/rmm.img
	@$(TOOL) image build/qemu/rmm.elf

# What does not depend on the board is tested with PLAT=qemu only.
ON_VIRT_ONLY := $(if $(filter sbsa,$(PLAT)),,loom check-image build/qemu/echo/flash.bin build/qemu/host/flash.bin \
                build/qemu/host/initrd)

test test-ci test-long: check-board setup $(ON_VIRT_ONLY) flash build/guest/initrd relying-party

test:
	@$(TEST)

test-ci:
	@$(TEST) --variants short

test-long:
	@$(TEST) --long --variants all

test-sweep: flash
	@$(TOOL) test --target-only $(ON_QEMU) --long --only sweep.

# Realms of random code; a failure names the seed.
test-random: flash
	@seed="$${SEED:-$$(date +%s)000}"; echo "seed $$seed"; \
	    $(TOOL) test --target-only $(ON_QEMU) --only random.realms --seed "$$seed" --seconds "$${RANDOM_SECONDS:-180}"

test-variants: flash
	@$(TOOL) test --target-only $(ON_QEMU) --variants "$${VARIANTS:-all}" --variants-only

test-host: loom
	@cargo test $(HOST_CRATES)

# Time limit of the models in seconds; they take about 10.
LOOM_SECONDS := 120
LOOM_CARGO   := CARGO_TARGET_DIR="$(CURDIR)/build/loom" RUSTFLAGS='--cfg loom' \
                CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
                CARGO_PROFILE_RELEASE_DEBUG=0 cargo test -p rmm-granule --test loom --release

loom: | build-machine
	@$(LOOM_CARGO) --no-run
	@RUST_BACKTRACE=0 timeout $(LOOM_SECONDS) env $(LOOM_CARGO) -q

test-target: flash
	@$(TOOL) test --target-only $(ON_QEMU)

test-remedies: on-virt build/qemu/remedies/flash.bin
	@$(TOOL) test --target-only --qemu $(QEMU_BIN) --flash build/qemu/remedies/flash.bin $(OWN_EL3)

# Time limit of all boots in seconds; on an idle machine they take about 120.
BENCH_SECONDS := 1500

# Records what the monitor executes.
PLUGIN := "$$CARGO_TARGET_DIR"/debug/libqemu_trace.so

BENCH := timeout $(BENCH_SECONDS) $(TOOL) bench --qemu $(QEMU_BIN) --flash build/qemu/bench/flash.bin \
         --answering build/qemu/answering/flash.bin --image $(BENCH_RMM) --figures docs/cost.json \
         --plugin $(PLUGIN) --remedies build/qemu/remedies/flash.bin --json "$${JSON:-build/qemu/bench.json}" $(if $(BASE),--base "$$BASE") \
         $(if $(RMM),--other) $(if $(QUICK),--quick) $(if $(PROFILE),--profile "$$PROFILE")
BENCH_IMAGES := plugin build/qemu/bench/flash.bin build/qemu/answering/flash.bin build/qemu/remedies/flash.bin

plugin: FORCE | rust
	@cargo build -q -p qemu-trace

bench: on-virt $(BENCH_IMAGES)
	@$(BENCH)

bench-check: on-virt $(BENCH_IMAGES)
	@$(BENCH) --check

bench-lower: on-virt $(BENCH_IMAGES)
	@$(BENCH) --lower
	@$(TOOL) cost

cost:
	@$(TOOL) cost

size: on-qemu flash plugin
	@$(TOOL) size $(ON_QEMU) --elf build/qemu/rmm.elf --plugin $(PLUGIN) --figures docs/cost.json

conformance:
	@$(TOOL) conformance

reproducible: rust
	@tools/reproducible.sh

DOC := RUSTDOCFLAGS='-D warnings' cargo doc -q --no-deps

lint: rust
	@cargo fmt --all --check
	@cargo clippy -q $(HOST_CRATES) --all-targets -- -D warnings
	@cargo clippy -q $(TARGET_CRATES:%=-p %) -p linux-loader --release --target $(RUST_TARGET) -- -D warnings
	@for board in fvp sbsa; do \
	    cargo clippy -q -p tests-fvp --features $$board --release --target $(RUST_TARGET) -- -D warnings || exit 1; done
	@$(DOC) $(HOST_CRATES)
	@$(DOC) -p rmm-tools --document-private-items
	@$(DOC) $(TARGET_CRATES:%=-p %) --release --target $(RUST_TARGET) --document-private-items
	@$(TOOL) dependencies
	@if command -v shellcheck >/dev/null; then shellcheck -x tools/*.sh tools/setup/*.sh tools/tests/setup/*.sh .ci/run guest/init linux-loader/init; \
	else echo 'skipped: shellcheck is not installed'; fi
	@$(TOOL) conformance --check
	@$(TOOL) cost --check
	@echo 'lint: ok'

NIGHTLY = RUSTUP_AUTO_INSTALL=0 cargo +nightly

# Without weak memory: Miri cannot follow atomic accesses of different size, which copies of Realm
# memory make. `make loom` checks the orderings.
MIRI := MIRIFLAGS=-Zmiri-disable-weak-memory-emulation $(NIGHTLY) miri test
# Of rmm-core what does not take Miri minutes; docs/testing.md says what is left out.
MIRI_LIB     := --skip attestation:: --skip run::stage1:: --skip any_free_vmid
MIRI_THREADS := races::granule_
MIRI_V2      := races::one_page

miri:
	@if $(NIGHTLY) miri --version >/dev/null 2>&1; then \
	    $(MIRI) -p rmm-abi -p rmm-granule -p rmm-rtt && \
	    $(MIRI) -p rmm-core --lib -- $(MIRI_LIB) && \
	    $(MIRI) -p rmm-core --test threads -- $(MIRI_THREADS) && \
	    $(MIRI) -p rmm-core --test v2 -- $(MIRI_V2); \
	else echo 'skipped: miri needs a nightly Rust with its miri component'; fi

# The standard library is instrumented, too: its locks and channels order accesses.
TSAN = CARGO_TARGET_DIR="$(CURDIR)/build/tsan" RUSTFLAGS=-Zsanitizer=thread $(NIGHTLY) test -Zbuild-std \
       --target "$$(rustc -vV | sed -n 's/^host: //p')"

tsan:
	@if [ -e "$$(RUSTUP_AUTO_INSTALL=0 rustc +nightly --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/std" ]; then \
	    $(TSAN) -p rmm-granule -p rmm-rtt --lib tests::threads && \
	    $(TSAN) -p rmm-core --test threads && $(TSAN) -p rmm-core --test v2 races::; \
	else echo 'skipped: tsan needs a nightly Rust with its rust-src component'; fi

# Seconds for each fuzz target.
override FUZZ_SECONDS := $(or $(FUZZ_SECONDS),60)
FUZZ         := $(NIGHTLY) fuzz
FUZZ_OPTIONS := --fuzz-dir fuzz --target-dir build/fuzz -O --sanitizer none

# What is found anew stays in build/fuzz; the inputs of fuzz/corpus are where each run starts.
fuzz:
	@if ! $(FUZZ) --version >/dev/null 2>&1; then \
	    echo 'skipped: fuzz needs a nightly Rust and cargo-fuzz'; \
	else $(FUZZ) build $(FUZZ_OPTIONS) && for t in $$($(FUZZ) list --fuzz-dir fuzz); do \
	    log="build/fuzz/$$t.log"; mkdir -p "build/fuzz/corpus/$$t"; \
	    $(FUZZ) run $(FUZZ_OPTIONS) "$$t" "build/fuzz/corpus/$$t" "fuzz/corpus/$$t" -- -max_total_time=$(FUZZ_SECONDS) \
	        -len_control=0 -timeout=20 -print_final_stats=1 >"$$log" 2>&1 || { tail -n 200 "$$log"; exit 1; }; \
	    echo "fuzz: $$t: $$(sed -n 's/^stat::number_of_executed_units: *//p' "$$log") inputs, nothing found"; done; fi

clean:
	@rm -rf build/qemu build/sbsa build/fvp build/loom build/tsan build/guest build/reproducible target
	@if [ "$$CARGO_TARGET_DIR" != "$(CURDIR)/target" ]; then echo "clean: $$CARGO_TARGET_DIR stays: others may share it."; fi

distclean: clean
	@rm -rf build
