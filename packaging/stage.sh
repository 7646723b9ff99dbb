#!/usr/bin/env bash
# Lays out what both packages install. Usage: stage.sh ROOT, which is made; for ARCH.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. packaging/common.sh

readonly ROOT=${1:?Usage: stage.sh ROOT}
readonly KALOOM=$ROOT/opt/kaloom LIBRARIES=$ROOT/opt/kaloom/lib/podagent
readonly NODE_SCRIPTS=(scripts/create-kubeconfig.sh scripts/{,add-,del-}network-annotation.sh)

# put MODE DIR FILE...
put() {
    local mode=$1 dir=$2
    shift 2
    mkdir -p "$dir"
    install -m "$mode" "$@" "$dir/"
}

stage_programs() {
    put 755 "$KALOOM/bin" packaging/bin/podagent packaging/bin/podagent-entrypoint.sh
    put 755 "$KALOOM/cni/bin" packaging/bin/kactus
    mkdir -p "$ROOT/usr/bin"
    ln -s /opt/kaloom/bin/podagent "$ROOT/usr/bin/podagent"
}

stage_libraries() {
    mkdir -p "$(dirname "$LIBRARIES")"
    packaging/libraries.sh unpack "$LIBRARIES"
    find src/podagent -name '*.py' -printf '%P\0' | while IFS= read -r -d '' file; do
        install -D -m 644 "src/podagent/$file" "$LIBRARIES/podagent/$file"
    done
    # Whatever a wheel says: nothing of it is a program.
    find "$LIBRARIES" -type f -exec chmod 644 {} +
    find "$LIBRARIES" -type d -exec chmod 755 {} +
    put 644 "$LIBRARIES" packaging/bin/interpreter.sh packaging/bin/start_podagent.py packaging/bin/start_kactus.py
    put 755 "$LIBRARIES" packaging/bytecode.sh
}

# As in the checkout, so that the commands of the README work from /opt/kaloom/share/podagent.
stage_share() {
    local share=$KALOOM/share/podagent
    put 755 "$share/scripts" "${NODE_SCRIPTS[@]}"
    put 644 "$share/manifests" manifests/*
    put 644 "$share/examples" examples/*
    put 644 "$share/etc/cni/net.d" etc/cni/net.d/*
    put 644 "$share/docs" docs/kactus.md docs/kactus-reference.md docs/security.md
}

stage_system() {
    put 644 "$KALOOM/etc" etc/podagent.toml etc/podagent.conf
    put 644 "$ROOT/usr/lib/systemd/system" systemd/podagent.service
    put 644 "$ROOT/usr/lib/systemd/catalog" systemd/podagent.catalog
    put 644 "$ROOT/usr/share/doc/podagent" README.md
    mkdir -p "$ROOT/usr/share/man/man8"
    sed "s/@VERSION@/$(version)/; s/@DATE@/$(date -d "@$(epoch)" +%F)/" packaging/man/podagent.8 |
        gzip -9n >"$ROOT/usr/share/man/man8/podagent.8.gz"
}

# Of the other architecture nothing can be run here.
check() {
    local python checked=
    [[ $ARCH == "$(uname -m)" ]] || return 0
    for python in "${PYTHONS[@]/#/python}" .venv/bin/python; do
        "$python" -c '' 2>/dev/null || continue
        "$python" -I packaging/check.py "$LIBRARIES" packaging/man/podagent.8 || die "$python is not content"
        [[ $checked == *"$("$python" -V)"* ]] || checked+=", $("$python" -V)"
    done
    say "all of it can be imported by ${checked#, }"
}

[[ ! -e $ROOT ]] || die "$ROOT is there already"
stage_programs
stage_libraries
stage_share
stage_system
check
find "$ROOT" -exec touch --no-dereference --date="@$(epoch)" {} +
