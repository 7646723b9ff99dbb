#!/usr/bin/env bash
# Builds the Debian package: dist/podagent_VERSION-1_ARCH.deb. The same commit gives the same bytes.
# Usage: build-deb.sh. ARCH=aarch64 (or x86_64) builds for that architecture: nothing is compiled.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. packaging/common.sh

readonly DEB=packaging/deb
declare -rA DEBIAN_ARCHITECTURES=([x86_64]=amd64 [aarch64]=arm64)

# The documents, where Debian looks for them.
add_documents() {
    local doc=$root/usr/share/doc/podagent overrides=$root/usr/share/lintian/overrides
    mkdir -p "$overrides"
    install -m 644 "$DEB/copyright" "$doc/copyright"
    install -m 644 "$DEB/lintian-overrides" "$overrides/podagent"
    gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
    fill_in "$DEB/changelog" | gzip -9n >"$doc/changelog.Debian.gz"
}

add_control() {
    local script
    mkdir "$root/DEBIAN"
    for script in postinst prerm postrm; do
        install -m 755 "$DEB/$script" "$root/DEBIAN/$script"
    done
    install -m 644 "$DEB/conffiles" "$root/DEBIAN/conffiles"
    (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$work/md5sums"
    fill_in "$DEB/control" >"$root/DEBIAN/control"
    install -m 644 "$work/md5sums" "$root/DEBIAN/md5sums"
}

fill_in() {
    sed "s/@VERSION@/$(version)-$RELEASE/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$(installed_size)/
        s/@DATE@/$(date -R -d "@$SOURCE_DATE_EPOCH")/" "$1"
}

# In KiB, each file rounded up: as Debian's tools count, whatever the file system here.
installed_size() {
    find "$root" -path "$root/DEBIAN" -prune -o -printf '%y %s\n' |
        awk '$1 == "f" { sum += int(($2 + 1023) / 1024); next } { sum++ } END { print sum }'
}

[[ $# -eq 0 ]] || die "Usage: [ARCH=aarch64] build-deb.sh"
check_architecture
require dpkg-deb dpkg
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
SOURCE_DATE_EPOCH=$(epoch)
export SOURCE_DATE_EPOCH

root=$work/stage
packaging/stage.sh "$root"
architecture=${DEBIAN_ARCHITECTURES[$ARCH]}
package=podagent_$(version)-${RELEASE}_$architecture.deb
say "building $package"
add_documents
add_control
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
mkdir -p dist
# One thread: what xz writes must not depend on how many processors there are.
quietly env DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group -Zxz --build "$root" "$work/$package" ||
    die "dpkg-deb failed: see above"
mv "$work/$package" dist/
say "$(du -h --apparent-size "dist/$package" | cut -f1)B"
echo "dist/$package"
