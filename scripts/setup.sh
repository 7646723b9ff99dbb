#!/usr/bin/env bash
# Prepares a checkout for development, and the machine for tests and the demo. `make` calls it; so may you.
# Usage: setup.sh venv|node|demo|runtimes|cluster|e2e|packages
#   venv     a virtual environment in .venv with the project and its tools
#   node     what a node of a cluster has: container runtime, CNI plugins, network tools (as root; nothing is replaced)
#   demo     as node, with the container runtime that is there
#   runtimes besides that the versions of containerd that the tests run, into ~/.cache (once, 62 MB)
#   cluster  as demo, and a whole Kubernetes, built once from Debian's source package into ~/.cache (ten minutes)
#   e2e      as cluster, with every container runtime
#   packages what builds the packages, and the machines that they are tried in
# Does nothing, and needs no network, when all is there. PYTHON=/path/to/python3.x chooses the interpreter,
# RUNTIME=docker or RUNTIME=containerd the container runtime.
set -euo pipefail
export LC_ALL=C

readonly STAMP=.venv/.set-up-for
readonly CNI_PLUGINS=(bridge host-local tuning static)
readonly CNI_DIRS=(/opt/cni/bin /usr/lib/cni /usr/libexec/cni)
readonly PYTHONS=(python3 python3.13 python3.12 python3.11 python3.10)
readonly POLICY=/usr/sbin/policy-rc.d
# What packages would start, now and at boot: by systemd, and by SysV init.
readonly UNITS=(docker.service docker.socket containerd.service etcd.service)
readonly INIT_SCRIPTS=(docker etcd)
# Version of the Kubernetes of Debian 12. Another recipe of the build needs another name here, and in tests/e2e.
readonly KUBERNETES=${XDG_CACHE_HOME:-$HOME/.cache}/podagent-kubernetes/1.20
readonly CONTAINERDS=${XDG_CACHE_HOME:-$HOME/.cache}/podagent-containerd
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() {
    echo "set-up: $*"
}

die() {
    echo "set-up: $*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null
}

# Runs a command; what it prints is shown, from its end, only if it fails.
quietly() {
    "$@" >"$log" 2>&1 </dev/null && return
    tail -n 15 "$log" >&2
    return 1
}

clean_up() {
    rm -f "$log" ${policy_made:+"$POLICY"}
}

log=$(mktemp)
policy_made=
trap clean_up EXIT
trap 'die "interrupted; the next time it is taken up where it ended"' INT TERM HUP

# --- system packages ------------------------------------------------------------------------------------------------

# Installs Debian or Ubuntu packages; elsewhere, or without root, says what to do.
install_packages() {
    have apt-get || die "please install what these packages of Debian hold, by the names of your distribution: $*"
    [[ $EUID -eq 0 ]] || die "missing: $*. Run this as root (sudo make ...), or: sudo apt-get install $*"
    say "installing $* with apt-get (once)"
    # The lists of packages may be missing, or so old that what they name is gone from the servers.
    apt_install "$@" >/dev/null 2>&1 </dev/null || quietly update_and_install "$@" ||
        die "apt-get could not install $*: see above"
}

update_and_install() {
    apt_get update && apt_install "$@"
}

apt_install() {
    apt_get install -y --no-install-recommends "$@"
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -o DPkg::Lock::Timeout=300 "$@"
}

has_cni_plugins() {
    local dir plugin
    for dir in "${CNI_DIRS[@]}"; do
        for plugin in "${CNI_PLUGINS[@]}"; do
            [[ -x $dir/$plugin ]] || continue 2
        done
        return 0
    done
    return 1
}

# A dynamically linked program names its loader in its first page.
has_static_busybox() {
    have busybox && ! head -c 4096 "$(command -v busybox)" | grep -qa '/ld-'
}

# Arguments: the container runtimes that are needed.
set_up_node() {
    local runtime missing=()
    for runtime in ${RUNTIME:-"$@"}; do
        case $runtime in
            docker) have dockerd || missing+=(docker.io) ;;
            containerd) have containerd || missing+=(containerd) ;;
            *) die "RUNTIME=$runtime: it is docker or containerd" ;;
        esac
    done
    have runc || missing+=(runc)
    has_cni_plugins || missing+=(containernetworking-plugins)
    has_static_busybox || missing+=(busybox-static)
    have ip || missing+=(iproute2)
    have nsenter || missing+=(util-linux)
    have iptables || missing+=(iptables)
    have openssl || missing+=(openssl)
    install_without_services "${missing[@]}"
}

# Docker, unless containerd is the only one.
runtime_there() {
    if have containerd && ! have dockerd; then
        echo containerd
    else
        echo docker
    fi
}

set_up_runtimes() {
    set_up_node docker containerd
    if have dpkg-deb && [[ $(dpkg --print-architecture) == amd64 ]]; then
        tests/lab/fetch-containerd.sh "$CONTAINERDS"
    else
        say "the later versions of containerd are Debian's for amd64: tests of them are skipped here"
    fi
}

# The tests start servers of their own. A machine that had none shall not get services by them: neither now
# (policy-rc.d, which maintainer scripts ask) nor at the next boot.
install_without_services() {
    [[ $# -gt 0 ]] || return 0
    [[ $EUID -eq 0 ]] || install_packages "$@" # which says what to do
    local unit script before=()
    for unit in "${UNITS[@]}" "${INIT_SCRIPTS[@]}"; do
        unit_exists "$unit" && before+=("$unit")
    done
    if [[ ! -e $POLICY ]]; then
        policy_made=1
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod 755 "$POLICY"
    fi
    install_packages "$@"
    for unit in "${UNITS[@]}"; do
        if ! unit_exists "$unit" || [[ " ${before[*]-} " == *" $unit "* ]]; then
            continue
        fi
        # As `systemctl disable` does, which is not there on every machine that may boot with systemd one day.
        rm -f /etc/systemd/system/*.wants/"$unit"
        say "$unit is left off; to use it yourself: systemctl enable --now $unit"
    done
    have update-rc.d || return 0
    for script in "${INIT_SCRIPTS[@]}"; do
        if ! unit_exists "$script" || [[ " ${before[*]-} " == *" $script "* ]]; then
            continue
        fi
        update-rc.d "$script" disable >/dev/null 2>&1 || say "$script still starts at boot: update-rc.d failed"
    done
}

unit_exists() {
    [[ -e /lib/systemd/system/$1 || -e /usr/lib/systemd/system/$1 || -e /etc/systemd/system/$1 || -e /etc/init.d/$1 ]]
}

set_up_cluster() {
    set_up_node "$@"
    local missing=()
    have etcd || missing+=(etcd-server)
    have kubectl || missing+=(kubernetes-client)
    have conntrack || missing+=(conntrack)
    have brctl || missing+=(bridge-utils)
    if [[ ! -x $KUBERNETES/kubelet ]]; then
        have /usr/bin/go || missing+=(golang-go)
        [[ -d /usr/share/gocode/src/github.com/modern-go/reflect2 ]] || missing+=(golang-github-modern-go-reflect2-dev)
        have rsync || missing+=(rsync)
        have dpkg-source || missing+=(dpkg-dev)
    fi
    install_without_services "${missing[@]}"
    tests/e2e/build-kubernetes.sh "$KUBERNETES"
}

set_up_packages() {
    local missing=()
    have debootstrap || missing+=(debootstrap)
    have rpmbuild || missing+=(rpm)
    have nsenter || missing+=(util-linux)
    have ip || missing+=(iproute2)
    install_without_services "${missing[@]}"
}

# --- virtual environment --------------------------------------------------------------------------------------------

set_up_venv() {
    local wanted
    wanted=$(fingerprint)
    is_set_up "$wanted" && return
    find_python
    say "making .venv with $("$python" --version) ($python)"
    quietly "$python" -m venv --clear .venv || die "making .venv failed: see above"
    say "installing the project and its tools into .venv (once; a minute or so)"
    [[ -e /etc/ssl/certs/ca-certificates.crt || ! -d /etc/apt ]] || install_packages ca-certificates
    quietly .venv/bin/python -m pip install --disable-pip-version-check --no-input -e '.[dev]' ||
        die "pip could not install the project: see above"
    printf '%s\n' "$wanted" "$python" >"$STAMP"
}

# By content, not by time: another branch checked out and back is no reason to need the network.
fingerprint() {
    printf '%s %s' "$PWD" "$(sha256sum <setup.cfg)"
}

# Whether .venv was made here, for what setup.cfg says now, by the Python that is asked for (if one is).
is_set_up() {
    local made_for='' made_by=''
    { read -r made_for && read -r made_by; } 2>/dev/null <"$STAMP" || return
    [[ $made_for == "$1" && (-z ${PYTHON:-} || $(command -v "$PYTHON") == "$made_by") ]] && .venv/bin/python -c ''
}

# Sets `python` to an interpreter that is new enough and can make virtual environments with pip in them.
find_python() {
    local candidate
    for candidate in ${PYTHON:-"${PYTHONS[@]}"}; do
        python=$(command -v "$candidate") || continue
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || continue
        can_make_venv && return
        [[ $(readlink -f "$python") == /usr/bin/python3.* ]] || continue
        # Debian keeps these parts of Python in a package of their own.
        install_packages "$(basename "$(readlink -f "$python")")-venv"
        can_make_venv && return
    done
    die "no suitable Python: needed is 3.10 or later with venv and ensurepip; looked for ${PYTHON:-${PYTHONS[*]}}." \
        "Another one: make PYTHON=/path/to/python3.x"
}

can_make_venv() {
    "$python" -c 'import venv, ensurepip' 2>/dev/null
}

cd "$(dirname "$(readlink -f "$0")")/.."
case ${1-} in
    venv) set_up_venv ;;
    node) set_up_node docker ;;
    demo) set_up_node "$(runtime_there)" ;;
    runtimes) set_up_runtimes ;;
    cluster) set_up_cluster "$(runtime_there)" ;;
    e2e) RUNTIME='' set_up_cluster docker containerd ;;
    packages) set_up_packages ;;
    *) die "Usage: setup.sh venv|node|demo|runtimes|cluster|e2e|packages" ;;
esac
