#!/usr/bin/env bash
# The Python packages that podagent depends on, as one folder that serves all of CPython 3.10 to 3.14.
# Usage: libraries.sh lock          rewrite requirements.txt with the newest versions (needs the network)
#        libraries.sh unpack DIR    put them into DIR, for ARCH
# Compiled modules have their Python's version in their file names, so that those of all versions lie side by side.
# Wheels are kept outside the checkout; pip compares each with the hash in requirements.txt, and once they are there
# nothing needs the network.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. packaging/common.sh

readonly REQUIREMENTS=packaging/requirements.txt PRUNE=packaging/prune.txt
readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/podagent-packaging/wheels
readonly PIP=(.venv/bin/python -m pip --disable-pip-version-check --no-input)
# Published as source only. It is made into a wheel with the setuptools of requirements.txt, which is not shipped.
readonly FROM_SOURCE=sdnotify BUILD_TOOL=setuptools

# The lines of prune.txt of one kind.
pruned() {
    sed -n "s/^$1 //p" "$PRUNE"
}

# for_target PYTHON ARCHITECTURE: pip's words for "such a machine, whatever runs pip".
for_target() {
    target=(--only-binary=:all: --implementation cp --python-version "$1")
    local glibc
    for glibc in manylinux_2_28 manylinux_2_17 manylinux2014; do
        target+=(--platform "${glibc}_$2")
    done
}

# --- requirements.txt -----------------------------------------------------------------------------------------------

lock() {
    local pinned name
    say "choosing versions"
    resolve >"$work/pinned"
    {
        echo "# The packages that podagent is shipped with: one version for all Pythons, and the hashes of their wheels."
        echo "# Made by \`make lock\`. $FROM_SOURCE is a source archive; $BUILD_TOOL makes a wheel of it, and is not shipped."
        while read -r pinned; do
            name=${pinned%%==*}
            say "$pinned" >&2
            download_all "$pinned" "$work/$name"
            echo "$pinned \\"
            hashes "$work/$name"
        done <"$work/pinned"
    } >"$work/requirements.txt"
    mv "$work/requirements.txt" "$REQUIREMENTS"
    say "$REQUIREMENTS is written; see what changed, then run make rpm deb"
}

# Prints NAME==VERSION of everything to ship, and of the build tool. The oldest Python decides: newer versions of a
# package may have given it up. pip takes conditions as of the Python that runs it; so setup.cfg's are left out.
resolve() {
    for_target "${PYTHONS[0]}" "$ARCH"
    mapfile -t wanted < <(sed -n '/^install_requires/,/^$/s/^    \([^;]*\).*/\1/p' setup.cfg | grep -v "^$FROM_SOURCE")
    quietly "${PIP[@]}" install --dry-run --ignore-installed --target "$work/none" --report "$work/report.json" \
        "${target[@]}" "${wanted[@]}" || die "pip found no set of versions: see above"
    {
        reported "$work/report.json"
        newest "$(sed -n "s/^    \($FROM_SOURCE.*\)/\1/p" setup.cfg)"
        newest "$BUILD_TOOL>=70.1"
    } | grep -vxEf <(pruned dist | sed 's/$/==.*/') | sort -f
}

newest() {
    quietly "${PIP[@]}" install --dry-run --ignore-installed --no-deps --report "$work/one.json" "$1" ||
        die "pip found no version of $1: see above"
    reported "$work/one.json"
}

reported() {
    .venv/bin/python - "$1" <<'PYTHON'
import json, re, sys
for each in json.load(open(sys.argv[1]))["install"]:
    name, version = each["metadata"]["name"], each["metadata"]["version"]
    print(re.sub("[-_.]+", "-", name).lower() + "==" + version)
PYTHON
}

download_all() {
    local python architecture
    if [[ $1 == "$FROM_SOURCE="* ]]; then
        quietly "${PIP[@]}" download --no-deps --no-binary=:all: --dest "$2" "$1" ||
            die "pip could not download $1: see above"
        return
    fi
    for architecture in "${ARCHITECTURES[@]}"; do
        for python in "${PYTHONS[@]}"; do
            for_target "$python" "$architecture"
            quietly "${PIP[@]}" download --no-deps --dest "$2" "${target[@]}" "$1" ||
                die "there is no wheel of $1 for Python $python on $architecture: see above"
            # One that fits everywhere is enough.
            ! compgen -G "$2/*-none-any.whl" >/dev/null || return 0
        done
    done
}

hashes() {
    (cd "$1" && sha256sum ./*) | sort | awk '{ printf "%s    --hash=sha256:%s", sep, $1; sep = " \\\n" } END { print "" }'
}

# --- unpacking ------------------------------------------------------------------------------------------------------

unpack() {
    local wheel
    check_architecture
    [[ ! -e $1 ]] || die "$1 is there already"
    mkdir -p "$1"
    collect
    say "unpacking $(find "$work/wheels" -name '*.whl' | wc -l) wheels"
    for wheel in "$work"/wheels/*.whl; do
        .venv/bin/python -m zipfile -e "$wheel" "$1"
    done
    # Programs of the dependencies are not shipped; anything else in such a folder would have to be moved by us.
    rm -rf "$1"/*.data/scripts
    find "$1" -maxdepth 1 -name '*.data' -type d -empty -delete
    ! compgen -G "$1/*.data" >/dev/null || die "a wheel with files for other places: $(echo "$1"/*.data)"
    prune "$1"
}

# Puts the wheels of all Pythons into work/wheels: from the cache, and what it lacks into the cache first.
collect() {
    local python
    mkdir -p "$CACHE" "$work/wheels"
    sed "/^\($FROM_SOURCE\|$BUILD_TOOL\)=/,/[^\\]\$/d" "$REQUIREMENTS" >"$work/binary.txt"
    sed -n "/^$FROM_SOURCE=/,/[^\\]\$/p" "$REQUIREMENTS" >"$work/source.txt"
    sed -n "/^$BUILD_TOOL=/,/[^\\]\$/p" "$REQUIREMENTS" >"$work/tool.txt"
    for python in "${PYTHONS[@]}"; do
        for_target "$python" "$ARCH"
        say "wheels for Python $python"
        fetch "$work/wheels" --requirement "$work/binary.txt" "${target[@]}"
    done
    build_from_source
}

# fetch DIR ARGUMENTS...: pip download, by the cache.
fetch() {
    local dir=$1
    shift
    local download=("${PIP[@]}" download --no-deps --require-hashes "$@")
    local cached=("${download[@]}" --no-index --find-links "$CACHE" --dest "$dir")
    "${cached[@]}" >/dev/null 2>&1 </dev/null && return
    say "downloading what is not yet in $CACHE"
    quietly "${download[@]}" --dest "$CACHE" || die "pip could not download: see above"
    quietly "${cached[@]}" || die "pip does not find what it has downloaded: see above"
}

build_from_source() {
    fetch "$work/tool" --only-binary=:all: --requirement "$work/tool.txt"
    .venv/bin/python -m zipfile -e "$work"/tool/*.whl "$work/tools"
    export PYTHONPATH=$work/tools
    fetch "$work/source" --no-build-isolation --no-binary=:all: --requirement "$work/source.txt"
    quietly "${PIP[@]}" wheel --no-deps --no-index --no-build-isolation --no-cache-dir --wheel-dir "$work/wheels" \
        "$work"/source/* || die "making a wheel of $FROM_SOURCE failed: see above"
    unset PYTHONPATH
}

prune() {
    local glob found
    shopt -s globstar nullglob
    while read -r glob; do
        # shellcheck disable=SC2206 # to be expanded
        found=("$1"/$glob)
        [[ ${#found[@]} -gt 0 ]] || die "$PRUNE: nothing is called $glob (any more)"
        rm -rf "${found[@]}"
    done < <(pruned path)
    shopt -u globstar nullglob
}

.venv/bin/python -c '' 2>/dev/null || scripts/setup.sh venv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case ${1-} in
    lock) lock ;;
    unpack) unpack "${2:?Usage: libraries.sh unpack DIR}" ;;
    *) die "Usage: libraries.sh lock | unpack DIR" ;;
esac
