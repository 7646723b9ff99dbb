#!/usr/bin/env bash
# Gets the versions of containerd that the tests run beside Debian 12's own: those of the later Debian releases, which run on
# Debian 12 as they are.
# Usage: fetch-containerd.sh DIRECTORY
#   Makes DIRECTORY/1.7/bin and DIRECTORY/2.1/bin, each complete at once; does nothing when they are as wanted.
set -euo pipefail
export LC_ALL=C

# Version in Debian, SHA-256 of its package for amd64. When Debian has removed one from its servers, take the next one of
# that series, and both values from `apt-cache show containerd`.
declare -rA PACKAGES=(
    [1.7]='1.7.24~ds1-6+deb13u1 ed708deb96fe476a3bce4efa5c0538dfbcf717ab9a7c7944ba7260342c25899c'
    [2.1]='2.1.9+ds1-5 2dda86ce7033fd612fc50e136679d8174ccad680eb29cd4611e0d2a1b84cf591'
)

die() {
    echo "containerd: $*" >&2
    exit 1
}

# The servers that this machine gets its packages from.
servers() {
    # shellcheck disable=SC2016 # it is apt that expands it
    apt-get indextargets --format '$(REPO_URI)' | sort -u
}

# Fails unless it is the file with that hash.
download() {
    local name=$1 hash=$2 server
    for server in $(servers); do
        /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file \
            "${server}pool/main/c/containerd/$name" "$work/deb" "SHA256:$hash" >"$work/log" 2>&1 && return
    done
    tail -n 5 "$work/log" >&2
    return 1
}

fetch() {
    local series=$1 version=$2 hash=$3
    [[ $(cat "$out/$series/hash" 2>/dev/null) != "$hash" ]] || return 0
    echo "containerd: getting $version"
    download "containerd_${version}_amd64.deb" "$hash" ||
        die "$version cannot be had from the servers of this machine's packages; if it is gone for good, change $0"
    dpkg-deb --extract "$work/deb" "$work/$series"
    mkdir "$work/new"
    mv "$work/$series/usr/bin" "$work/new/bin"
    echo "$hash" >"$work/new/hash"
    rm -rf "${out:?}/$series"
    mv "$work/new" "$out/$series"
}

out=$(realpath -m "${1:?Usage: fetch-containerd.sh DIRECTORY}")
[[ $(uname -m) == x86_64 ]] || die "the packages are for amd64: this is $(uname -m)"
mkdir -p "$out"
work=$(mktemp -d "$out/.new-XXXXXX")
trap 'rm -rf "$work"' EXIT
for series in "${!PACKAGES[@]}"; do
    read -r version hash <<<"${PACKAGES[$series]}"
    fetch "$series" "$version" "$hash"
done
