# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Debian packages; sourced after lib.sh.
#
# Lists, sources and architectures of the machine stay as they are: what is used
# here is known to a private apt state alone.

APT=$STATE/apt
# Where the machine describes itself.
ETC=${RMM_SETUP_ETC:-/etc}

# os NAME: a value of os-release.
os() { sed -n "s/^$1=\"\?\([^\"]*\)\"\?$/\1/p" "$ETC/os-release" 2>/dev/null || true; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# may_install WHAT: whether this user can become root. Asks for sudo's password
# here, where the user sees the question and the answer.
may_install() {
    [ "$(id -u)" != 0 ] || return 0
    command -v sudo >/dev/null || return 1
    say "sudo installs $1."
    sudo -n true 2>/dev/null || sudo -v
}

# Prints "URI SUITE KEY" of every enabled binary source of the machine with a
# component main. KEY is debian, other, or none if the source names no key.
machine_sources() {
    local f files=()
    for f in "$ETC"/apt/sources.list.d/*.sources; do
        [ -f "$f" ] && files+=("$f")
    done
    [ ${#files[@]} = 0 ] || awk '
        function flush(   i, j, n, m, u, s, key_of) {
            if (v["types"] ~ /(^|[ \t])deb([ \t]|$)/ && tolower(v["enabled"]) !~ /^[ \t]*(no|false|off|0)/ &&
                v["components"] ~ /(^|[ \t])main([ \t]|$)/) {
                key_of = v["signed-by"] ~ /debian-archive/ ? "debian" : v["signed-by"] ~ /\// ? "other" : "none"
                n = split(v["uris"], u); m = split(v["suites"], s)
                for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) print u[i], s[j], key_of
            }
            split("", v); key = ""
        }
        FNR == 1 { flush() }
        /^#/ { next }
        /^[ \t]*$/ { flush(); next }
        /^[ \t]/ { v[key] = v[key] " " $0; next }
        { i = index($0, ":"); key = tolower(substr($0, 1, i - 1)); v[key] = substr($0, i + 1) }
        END { flush() }
    ' "${files[@]}"
    files=()
    for f in "$ETC"/apt/sources.list "$ETC"/apt/sources.list.d/*.list; do
        [ -f "$f" ] && files+=("$f")
    done
    [ ${#files[@]} = 0 ] || awk '
        $1 == "deb" {
            sub(/#.*/, "")
            key = /signed-by=[^] \t]*debian-archive/ ? "debian" : /signed-by=/ ? "other" : "none"
            sub(/\[[^]]*\]/, "")
            for (i = 4; i <= NF; i++) if ($i == "main") { print $2, $3, key; break }
        }
    ' "${files[@]}"
}

# Prints "URI SUITE" of those that are Debian itself.
debian_sources() {
    local id
    id=$(os ID)
    machine_sources | awk -v id="$id" -v c="$(os VERSION_CODENAME)" '
        BEGIN {
            n = split("oldoldstable oldstable stable testing unstable sid bookworm trixie forky " c, s)
            for (i = 1; i <= n; i++) known[s[i]] = 1
        }
        {
            base = $2; sub(/-(updates|security|proposed-updates|backports)$/, "", base)
            if ($3 == "debian" || $3 == "none" && id == "debian" && (base in known)) print $1, $2
        }' || true
}

# Prints the address of a mirror of Debian: DEBIAN_MIRROR, or the machine is set up for one.
debian_mirror() {
    if [ -n "${DEBIAN_MIRROR:-}" ]; then
        echo "$DEBIAN_MIRROR"
    else
        debian_sources | awk '$2 !~ /-/ { print $1; exit }'
    fi
}

# apt_list LIST WHAT: writes the private list of sources. `install` has what the
# machine has, and QEMU's suite; the others are for downloads only, `guest` is of
# another architecture. Ends if WHAT cannot come from Debian.
apt_list() {
    local list=$1 what=$2 mirror all key options=
    command -v apt-get >/dev/null || die "$what comes from Debian's packages, and this machine has no apt-get. ${3:-}"
    mkdir -p "$APT/lists/partial" "$APT/cache/archives/partial" || die "$APT cannot be made."
    for key in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
        [ ! -r "$key" ] || options=" signed-by=$key"
    done
    if [ "$list" = install ]; then
        rm -f "$APT/install.list"
        all=$(debian_sources)
        # Another system than Debian is taken as it is.
        [ -n "$all" ] || return 0
        mirror=$(debian_mirror)
        options="[arch=$(dpkg --print-architecture)$options]"
        {
            awk -v o="$options" '{ print "deb", o, $1, $2, "main" }' <<<"$all"
            [ "$QEMU_SUITE" != "$(os VERSION_CODENAME)-backports" ] || echo "deb $options $mirror $QEMU_SUITE main"
        } | sort -u >"$APT/install.list"
        return
    fi
    mirror=$(debian_mirror)
    [ -n "$mirror" ] ||
        die "$what comes from Debian's packages, and none of this machine's sources is Debian: DEBIAN_MIRROR=URL names a mirror. ${3:-}"
    [ -n "$options" ] || [ "$(os ID)" = debian ] ||
        die "$what comes from Debian's packages, whose key is missing here: install debian-archive-keyring. ${3:-}"
    case $list in
        rust) echo "deb [arch=$(dpkg --print-architecture)$options] $mirror $RUST_SRC_SUITE main" ;;
        tfa) printf "deb-src [arch=$(dpkg --print-architecture)$options] $mirror %s main\n" "$TFA_SUITE" ;;
        guest) printf "deb [arch=arm64$options] $mirror %s main\n" "$LINUX_SUITE" "$BUSYBOX_SUITE" ;;
    esac | sort -u >"$APT/$list.list"
}

# apt_options LIST: sets OPTIONS.
apt_options() {
    OPTIONS=(
        -o "Dir::State::lists=$APT/lists" -o "Dir::Cache=$APT/cache"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
        -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User=root
        -o Acquire::Languages=none -o Acquire::GzipIndexes=true -o Acquire::Retries=2
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
    )
    [ ! -f "$APT/$1.list" ] || OPTIONS+=(-o "Dir::Etc::sourcelist=$APT/$1.list" -o Dir::Etc::sourceparts=-)
    [ "$1" != guest ] || OPTIONS+=(-o APT::Architecture=arm64 -o APT::Architectures=arm64)
}

# apt_update LIST
apt_update() {
    local OPTIONS
    apt_options "$1"
    logged "package-lists-$1" apt-get "${OPTIONS[@]}" -o APT::Update::Error-Mode=any update
}

# lists LIST: brings the package lists up to date. What an earlier set-up left of them may be what stands in
# the way.
lists() { apt_update "$1" || lists_anew "$1"; }

# apt_versions LIST PACKAGE: the versions to be had, newest first.
apt_versions() {
    local OPTIONS
    apt_options "$1"
    apt-cache "${OPTIONS[@]}" madison "$2" 2>/dev/null | awk '{ print $3 }' | awk '!seen[$0]++'
}

# lists_anew LIST: the lists themselves may be damaged, which apt does not notice.
lists_anew() {
    rm -rf "$APT/lists"
    mkdir -p "$APT/lists/partial"
    apt_update "$1"
}

# choose WANTED OLDEST: of the versions on standard input the wanted one, else
# the newest of the same upstream version, else (OLDEST given) the newest that
# is not older. Sets nothing; prints it.
choose() {
    local all wanted=$1 oldest=$2 v
    all=$(cat)
    if grep -qxF -- "$wanted" <<<"$all"; then
        echo "$wanted"
        return
    fi
    for v in $all; do
        if [ "$(upstream "$v")" = "$(upstream "$wanted")" ]; then
            echo "$v"
            return
        fi
    done
    [ -n "$oldest" ] || return 0
    for v in $all; do
        if have_version "$oldest" "$(upstream "$v")"; then
            echo "$v"
            return
        fi
    done
}

# version_of LIST PACKAGE WANTED OLDEST: sets VERSION, empty if there is none.
version_of() {
    VERSION=$(apt_versions "$1" "$2" | choose "$3" "$4")
    [ -n "$VERSION" ] || ! lists_anew "$1" || VERSION=$(apt_versions "$1" "$2" | choose "$3" "$4")
}

# moved_on NAME PINNED TAKEN
moved_on() { [ "$2" = "$3" ] || say "$1 $2 is no longer offered; takes $3."; }

# field NAME: the value of the first such field of a record on standard input.
field() { sed -n "s/^$1: *//p" | head -n1; }

# deb LIST PACKAGE VERSION FOLDER: sets DEB to the package's file in FOLDER, which
# is downloaded unless it is there and intact. Returns 1, with the reason in WHY.
# shellcheck disable=SC2034 # Its users read WHY.
deb() {
    local OPTIONS list=$1 package=$2 version=$3 folder=$4 record hash size file attempt
    for DEB in "$folder/${package}_${version//:/%3a}"_*.deb; do
        ! intact "$DEB" || return 0
    done
    apt_options "$list"
    for attempt in 1 2; do
        rm -rf "$WORK/download"
        mkdir -p "$WORK/download"
        record=$(apt-cache "${OPTIONS[@]}" show "$package=$version" 2>/dev/null) || record=
        hash=$(field SHA256 <<<"$record")
        size=$(field Size <<<"$record")
        if (cd "$WORK/download" && logged "download-$package" apt-get "${OPTIONS[@]}" download "$package=$version"); then
            file=$(find "$WORK/download" -name '*.deb')
            WHY="$package $version is not what the package lists say"
            if [ -f "$file" ] && [ -n "$hash" ] && [ "$(stat -c %s "$file")" = "$size" ] &&
                [ "$(sha256sum <"$file")" = "$hash  -" ]; then
                DEB=$folder/${file##*/}
                keep "$file" "$hash" "$DEB"
                return
            fi
        else
            WHY=$(reason "download-$package")
        fi
        [ "$attempt" = 2 ] || lists_anew "$list" || true
    done
    return 1
}
