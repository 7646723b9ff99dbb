#!/usr/bin/env bash
# Adds a network to the `networks` annotation of a pod, or deletes it from there. Behind add-network-annotation.sh and
# del-network-annotation.sh. Needs kubectl and python3.
#
# The annotation is read, edited as JSON and written back only if the pod did not change in between; else it starts over.
# Entries of other networks, and fields it does not know, stay as they are.
set -euo pipefail
export LC_ALL=C

readonly ATTEMPTS=10
readonly -A UNCHANGED=(["add"]="already has" ["del"]="does not have")
readonly -A CHANGED=(["add"]="added to" ["del"]="deleted from")

readonly SELF=${CALLED_AS:-$0}

say() {
    echo "${SELF##*/}: $*" >&2
}

die() {
    say "$@"
    exit 1
}

usage() {
    echo "Usage: ${CALLED_AS:-$0 add|del} POD NETWORK [NAMESPACE]" >&2
    echo "NAMESPACE is that of the pod; without it: default." >&2
    exit 2
}

[[ $# -ge 3 && $# -le 4 ]] || usage
readonly action=$1 pod=$2 network=$3 namespace=${4:-default}
[[ $action == add || $action == del ]] || usage

for name in "$pod" "$network" "$namespace"; do
    [[ ${#name} -le 253 && $name =~ ^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$ ]] ||
        die "'$name' is not a valid name: expected lower-case letters, digits, '-' and '.'"
done
for tool in kubectl python3; do
    command -v "$tool" >/dev/null || die "$tool is needed, but not installed"
done

# Reads a pod as JSON on stdin; prints a merge patch for it, or nothing when there is nothing to change.
read -r -d '' EDIT <<'PYTHON' || true
import json, sys

action, network = sys.argv[1:]
metadata = json.loads(sys.stdin.buffer.read().decode())["metadata"]
text = (metadata.get("annotations") or {}).get("networks", "")
try:
    entries = (json.loads(text) if text.strip() else None) or []
    if not isinstance(entries, list):
        raise ValueError("it is not a list")
except ValueError as error:
    sys.exit(f"its annotation `networks` is malformed ({error}): {text[:200]!r}; correct it with kubectl annotate")
wanted = [e for e in entries if not (isinstance(e, dict) and e.get("name") == network)]
present = len(wanted) != len(entries)
if present == (action == "add"):
    sys.exit(0)
if action == "add":
    wanted.append({"name": network})
annotations = {"networks": json.dumps(wanted, ensure_ascii=False)}
# The resource version makes the API server refuse the patch (Conflict) when the pod has changed meanwhile.
patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": annotations}}
print(json.dumps(patch))
PYTHON

# There is no telling here which namespaces the agents take networks from besides the pod's own: "default" by default.
warn_if_undefined() {
    local place found places=("$namespace")
    [[ $namespace == default ]] || places+=(default)
    for place in "${places[@]}"; do
        if ! found=$(kubectl get networks.kaloom.com "$network" -n "$place" --ignore-not-found -o name 2>/dev/null); then
            say "warning: cannot check whether network $network is defined (no right to read it?)"
            return
        fi
        [[ -z $found ]] || return 0
    done
    say "warning: there is no networks.kaloom.com $network in namespace ${places[*]};" \
        "the interface comes once it is defined"
}

[[ $action == del ]] || warn_if_undefined
for ((attempt = 1; attempt <= ATTEMPTS; attempt++)); do
    object=$(kubectl get pod "$pod" -n "$namespace" --ignore-not-found -o json) ||
        die "cannot read pod $namespace/$pod"
    [[ -n $object ]] || die "there is no pod $namespace/$pod"
    patch=$(python3 -c "$EDIT" "$action" "$network" <<<"$object" 2>&1) || die "pod $namespace/$pod left as it is: $patch"
    if [[ -z $patch ]]; then
        echo "pod $namespace/$pod ${UNCHANGED[$action]} network $network: nothing to do"
        exit 0
    fi
    if answer=$(kubectl patch pod "$pod" -n "$namespace" --type=merge -p "$patch" 2>&1); then
        echo "network $network ${CHANGED[$action]} pod $namespace/$pod"
        exit 0
    fi
    [[ $answer == *"(Conflict)"* ]] || die "cannot change pod $namespace/$pod: $answer"
    sleep "0.$((RANDOM % 5 + 1))"
done
die "pod $namespace/$pod changed each of the $ATTEMPTS times that its annotation was to be written; try again"
