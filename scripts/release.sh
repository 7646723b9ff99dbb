#!/usr/bin/env bash
# Prepares a release, up to its tag: checks, version, changelog, packages, commit, tag. Publishes nothing.
# Usage: release.sh VERSION, such as 0.5.0. CHECKS="lint unit" runs these targets of make instead of all of CI.
# Any failure leaves the checkout as it was. docs/releasing.md has the whole recipe.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

readonly PACKAGE=src/podagent/__init__.py
readonly CHANGELOG=CHANGELOG.md

say() {
    echo "release: $*"
}

die() {
    echo "release: $*" >&2
    exit 1
}

# The entries below "Unreleased".
unreleased() {
    awk '/^## / { inside = /^## \[Unreleased\]/; next } inside && NF' "$CHANGELOG"
}

require_releasable() {
    [[ $version =~ ^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}$ ]] ||
        die "'$version' is not a version: three numbers, such as 0.5.0 (https://semver.org)"
    [[ -z $(git status --porcelain) ]] || die "the checkout has changes: commit or stash them first"
    ! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || die "the tag v$version is there already"
    local last
    last=$(git tag --list 'v*' --sort=-version:refname | head -n 1)
    [[ -z $last || $(printf '%s\n' "${last#v}" "$version" | sort -V | tail -n 1) == "$version" ]] ||
        die "$version is lower than the last release, $last"
    [[ -n $(unreleased) ]] || die "$CHANGELOG has nothing below '## [Unreleased]': write what changed for users"
}

write_version() {
    sed -i "s/^__version__ = .*/__version__ = \"$version\"/" "$PACKAGE"
    grep -q "^__version__ = \"$version\"$" "$PACKAGE" || die "$PACKAGE has no line '__version__ = ...'"
    sed -i "s/^## \[Unreleased\].*/&\n\n## [$version] - $(date -u +%F)/" "$CHANGELOG"
}

check() {
    if [[ -n ${CHECKS:-} ]]; then
        local targets
        read -ra targets <<<"$CHECKS"
        make "${targets[@]}"
    else
        .ci/run
    fi
}

restore() {
    git checkout -q -- "$PACKAGE" "$CHANGELOG"
}

[[ $# -eq 1 && -n $1 ]] || die "Usage: make release VERSION=0.5.0"
version=$1
require_releasable
trap 'restore; say "nothing was released"' EXIT
write_version
say "checking version $version"
check
say "building the packages"
make rpm deb
git commit -q -m "Release $version" -- "$PACKAGE" "$CHANGELOG"
trap - EXIT
git tag -a "v$version" -m "podagent $version"
say "tagged v$version; the packages are in dist/. To publish: docs/releasing.md, step 3"
