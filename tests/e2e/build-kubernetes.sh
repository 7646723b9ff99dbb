#!/usr/bin/env bash
# Builds kube-apiserver, kube-controller-manager, kube-scheduler and kubelet from the source package `kubernetes` of Debian
# 12, with Debian's Go. That is 1.20: the newest whose server side Debian ships as source, and the last series that
# drives both Docker and CRI runtimes by itself.
# Usage: build-kubernetes.sh DIRECTORY
#   Does nothing when DIRECTORY holds the programs already. Takes about ten minutes on two cores, and 4 GB below
#   DIRECTORY's parent meanwhile. `scripts/setup.sh cluster` installs what this needs, and calls it.
set -euo pipefail
export LC_ALL=C

readonly PROGRAMS=(kubelet kube-apiserver kube-controller-manager kube-scheduler)
# All that is needed of Debian's Go libraries: the copy of reflect2 in the sources crashes with Go 1.18 and later.
readonly REFLECT2=github.com/modern-go/reflect2

say() {
    echo "kubernetes: $*"
}

die() {
    echo "kubernetes: $*" >&2
    exit 1
}

is_complete() {
    local program
    for program in "${PROGRAMS[@]}"; do
        [[ -x $out/$program ]] || return 1
    done
}

# apt with lists and sources of its own, so that no source is added to the machine's.
private_apt() {
    apt-get -q -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts="$work/apt/parts" \
        -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=root "$@"
}

# The machine's own sources, asked for source packages instead of binary ones.
fetch_sources() {
    mkdir -p "$work"/apt/{parts,lists/partial,cache/archives/partial} "$work/debian"
    local list
    for list in /etc/apt/sources.list.d/*.sources; do
        [[ -e $list ]] && sed 's/^Types:.*/Types: deb-src/' "$list" >"$work/apt/parts/${list##*/}"
    done
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [[ -e $list ]] && sed -n 's/^deb /deb-src /p' "$list" >"$work/apt/parts/$(basename "${list%.list}").list"
    done
    # One of several servers may be away; what matters is whether the package can be had.
    private_apt update || true
    cd "$work/debian"
    private_apt source --download-only kubernetes
    compgen -G 'kubernetes_1.20*.orig.tar.*' >/dev/null ||
        die "this distribution has another Kubernetes than 1.20 ($(echo kubernetes_*.dsc)): use Debian 12"
}

unpack() {
    mkdir -p "$work/go/src/k8s.io/kubernetes"
    tar -xf "$work"/debian/kubernetes_*.orig.tar.* -C "$work/go/src/k8s.io/kubernetes" --strip-components=1
    cd "$work/go/src/k8s.io/kubernetes"
    rm -rf "vendor/$REFLECT2"
    cp -rL "/usr/share/gocode/src/$REFLECT2" "vendor/$REFLECT2"
}

build() {
    cd "$work/go/src/k8s.io/kubernetes"
    # Debian's Go, not a newer one that may be on the machine.
    PATH=/usr/bin:$PATH GOPATH=$work/go GOCACHE=$work/gocache GOFLAGS='' CGO_ENABLED=0 GO111MODULE=off \
        make GOLDFLAGS='-s -w' WHAT="cmd/$1"
}

# Runs a step, and shows the end of its output if it fails.
step() {
    local what=$1
    shift
    say "$what ..."
    # In a process group of its own, which is ended with us; and without the lock.
    set -m
    "$@" >"$work/log" 2>&1 </dev/null 9>&- &
    running=$!
    set +m
    wait "$running" || { tail -n 20 "$work/log" >&2 && die "$what failed: see above"; }
    running=
}

clean_up() {
    if [[ -n ${running-} ]]; then
        kill -TERM -- "-$running" 2>/dev/null || true
        wait "$running" 2>/dev/null || true
    fi
    [[ -z ${work-} ]] || rm -rf "$work"
}

[[ $# -eq 1 ]] || die "Usage: build-kubernetes.sh DIRECTORY"
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
is_complete && exit 0
exec 9>"$out.lock"
flock -n 9 || { say "another build of $out is at work: waiting for it" && flock 9; }
is_complete && exit 0
started=$SECONDS
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
work=$(mktemp -d "$out.building-XXXXXX")
say "building once, into $out: about ten minutes on two cores"
step "fetching the sources" fetch_sources
step "unpacking" unpack
mkdir "$work/out"
for program in "${PROGRAMS[@]}"; do
    number=$((${number:-0} + 1))
    step "building $program ($number of ${#PROGRAMS[@]})" build "$program"
    mv "$work/go/src/k8s.io/kubernetes/_output/bin/$program" "$work/out/"
done
rm -rf "$out"
mv "$work/out" "$out"
say "built in $((SECONDS - started)) s"
