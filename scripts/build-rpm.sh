#!/usr/bin/env bash
# Builds the RPM package: dist/podagent-VERSION-1.ARCH.rpm. The same commit gives the same bytes.
# Usage: build-rpm.sh. ARCH=aarch64 (or x86_64) builds for that architecture: nothing is compiled.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. packaging/common.sh

[[ $# -eq 0 ]] || die "Usage: [ARCH=aarch64] build-rpm.sh"
check_architecture
require rpmbuild rpm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
SOURCE_DATE_EPOCH=$(epoch)
export SOURCE_DATE_EPOCH

packaging/stage.sh "$work/stage"
install -D -m 644 -t "$work/stage/usr/share/licenses/podagent" LICENSE
install -m 644 -t "$work/stage/usr/share/doc/podagent" CHANGELOG.md
package=podagent-$(version)-$RELEASE.$ARCH.rpm
say "building $package"
quietly rpmbuild -bb --target "$ARCH-linux" packaging/rpm/podagent.spec \
    --define "_topdir $work/rpmbuild" \
    --define "stage $work/stage" \
    --define "podagent_version $(version)" \
    --define "podagent_release $RELEASE" \
    --define "podagent_date $(date -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')" ||
    die "rpmbuild failed: see above"
mkdir -p dist
mv "$work/rpmbuild/RPMS/$ARCH/$package" dist/
say "$(du -h --apparent-size "dist/$package" | cut -f1)B"
echo "dist/$package"
