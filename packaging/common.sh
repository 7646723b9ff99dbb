# Read by the scripts that build the packages; for bash, with the checkout's top directory as working directory.
# shellcheck shell=bash disable=SC2034 # what it sets is for those who read it
export LC_ALL=C TZ=UTC
umask 022

# The CPythons that the packages serve. packaging/bin/interpreter.sh has them too.
readonly PYTHONS=(3.10 3.11 3.12 3.13 3.14)
readonly ARCHITECTURES=(x86_64 aarch64)
readonly RELEASE=1
ARCH=${ARCH:-$(uname -m)}

say() {
    echo "packages: $*"
}

die() {
    echo "packages: $*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null
}

# Runs a command; what it prints is shown, from its end, only if it fails.
quietly() {
    local output
    output=$("$@" 2>&1 </dev/null) && return
    tail -n 15 <<<"$output" >&2
    return 1
}

# require PROGRAM PACKAGE: installs the package if the program is missing and apt-get may be run; else says what to do.
require() {
    ! have "$1" || return 0
    have apt-get || die "missing: $1; please install it (Debian has it in the package $2)"
    [[ $EUID -eq 0 ]] || die "missing: $1. Run this as root, or: sudo apt-get install $2"
    say "installing $2 with apt-get (once)"
    apt_install "$2" >/dev/null 2>&1 || { quietly apt_get update && quietly apt_install "$2"; } ||
        die "apt-get could not install $2: see above"
}

apt_install() {
    apt_get install -y --no-install-recommends "$@"
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

check_architecture() {
    [[ " ${ARCHITECTURES[*]} " == *" $ARCH "* ]] || die "ARCH=$ARCH is not one of: ${ARCHITECTURES[*]}"
}

# The one place that has the version is the package itself.
version() {
    sed -n 's/^__version__ = "\(.*\)"$/\1/p' src/podagent/__init__.py
}

# The time that everything in the packages bears: of the commit; without git, of what was changed last.
epoch() {
    [[ -z ${SOURCE_DATE_EPOCH:-} ]] || { echo "$SOURCE_DATE_EPOCH" && return; }
    [[ ! -e .git ]] || ! git log -1 --format=%ct 2>/dev/null || return 0
    find src packaging systemd etc scripts manifests examples docs README.md CHANGELOG.md LICENSE \
        -type f ! -name '*.pyc' -printf '%Ts\n' | sort -n | tail -n 1
}
