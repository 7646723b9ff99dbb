#!/usr/bin/env bash
# Creates podagent's service account and roles, and writes a kubeconfig with its credentials. Needs kubectl with rights
# to create roles; the server is that of kubectl's current context.
# Usage: create-kubeconfig.sh [DIR] [FILE] [NAMESPACE]
set -euo pipefail
umask 077

readonly ACCOUNT=podagent SECRET=podagent-token MANIFEST=podagent-serviceaccount-and-rbac.yaml TOKEN_SECONDS=30

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

if [[ $# -gt 3 || ${1:-} == -* ]]; then
    echo "Usage: $0 [DIR] [FILE] [NAMESPACE]" >&2
    echo "Without arguments: /tmp/kubeconfig podagent-kubeconfig.yaml kube-system" >&2
    [[ ${1:-} == -h || ${1:-} == --help ]] || exit 2
    exit 0
fi
readonly dir=${1:-/tmp/kubeconfig} file=${2:-podagent-kubeconfig.yaml} namespace=${3:-kube-system}

find_manifest() {
    local here candidate
    here=$(dirname "$(readlink -f "$0")")
    for candidate in "$here/../manifests/$MANIFEST" "$here/$MANIFEST" \
        "/opt/kaloom/share/podagent/manifests/$MANIFEST" "/opt/kaloom/manifests/$MANIFEST"; do
        if [[ -r $candidate ]]; then
            echo "$candidate"
            return
        fi
    done
    die "$MANIFEST was not found in $here/../manifests nor below /opt/kaloom"
}

# The directory may lie in /tmp, where anybody could have prepared it: the credentials must not end up in their hands.
prepare_directory() {
    mkdir -p "$dir" || die "cannot create the directory $dir"
    [[ ! -L $dir ]] || die "$dir is a symbolic link; give the directory itself"
    [[ -O $dir ]] || die "$dir belongs to another user; remove it, or give another directory"
    [[ -w $dir ]] || die "$dir is not writable"
    [[ ! -d $dir/$file ]] || die "$dir/$file is a directory"
}

# A field of the secret; empty while it is not there.
secret_field() {
    kubectl get secret "$SECRET" -n "$namespace" -o "jsonpath={.data.$1}"
}

# Clusters before 1.24 make a token secret for every service account, later ones do not; all of them fill in one that is
# asked for by name.
create_token_secret() {
    kubectl apply -f - <<YAML || die "cannot create the secret $namespace/$SECRET"
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata:
  name: $SECRET
  namespace: $namespace
  annotations:
    kubernetes.io/service-account.name: $ACCOUNT
YAML
    local second token
    for ((second = 0; second < TOKEN_SECONDS; second++)); do
        token=$(secret_field token) || die "cannot read the secret $namespace/$SECRET"
        [[ -z $token ]] || return 0
        sleep 1
    done
    die "the cluster put no token into the secret $namespace/$SECRET within $TOKEN_SECONDS s;" \
        "does its controller manager run?"
}

# Written by hand: `kubectl config set-credentials` would show the token in the list of processes. As JSON, which is valid
# YAML: kactus reads it for every pod, and saves the time to load a YAML parser.
write_kubeconfig() {
    local server=$1 name_check=$2 ca token
    ca=$(secret_field 'ca\.crt') || die "cannot read the secret $namespace/$SECRET"
    token=$(secret_field token | base64 -d) || die "cannot read the token in the secret $namespace/$SECRET"
    [[ -n $ca ]] || die "the secret $namespace/$SECRET has no ca.crt"
    temporary=$(mktemp "$dir/.$file.XXXXXX") || die "cannot write in $dir"
    trap 'rm -f -- "$temporary"' EXIT
    [[ -z $name_check ]] || name_check=$',\n'"      \"tls-server-name\": \"$name_check\""
    cat >"$temporary" <<JSON
{
  "apiVersion": "v1",
  "kind": "Config",
  "clusters": [{
    "name": "kubernetes",
    "cluster": {
      "server": "$server",
      "certificate-authority-data": "$ca"$name_check
    }
  }],
  "users": [{
    "name": "$ACCOUNT",
    "user": {"token": "$token"}
  }],
  "contexts": [{
    "name": "$ACCOUNT",
    "context": {"cluster": "kubernetes", "user": "$ACCOUNT"}
  }],
  "current-context": "$ACCOUNT"
}
JSON
    mv -f -- "$temporary" "$dir/$file"
    trap - EXIT
}

command -v kubectl >/dev/null || die "kubectl is needed, but not installed"
[[ $file != */* && -n $file ]] || die "FILE must be a file name without a directory: '$file'"
[[ $namespace =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] || die "'$namespace' cannot be a namespace"

current() {
    kubectl config view --minify -o "jsonpath={.clusters[0].cluster.$1}"
}
server=$(current server) || die "kubectl has no current context; choose one with: kubectl config use-context NAME"
name_check=$(current tls-server-name) || name_check=""
[[ $server =~ ^https?://[][A-Za-z0-9._~:/%@-]+$ ]] || die "the server of kubectl's current context cannot be used: '$server'"
[[ $name_check =~ ^[A-Za-z0-9.:-]*$ ]] || die "the tls-server-name of kubectl's current context cannot be used"

manifest=$(find_manifest)
prepare_directory
kubectl get namespace "$namespace" -o name >/dev/null || die "namespace $namespace cannot be used"
sed "s/namespace: kube-system\$/namespace: $namespace/" "$manifest" | kubectl apply -f - ||
    die "cannot create the service account and its roles"
create_token_secret
write_kubeconfig "$server" "$name_check"

case $server in
    *://127.* | *://localhost[:/]* | *://localhost | *"://[::1]"*)
        echo "${0##*/}: warning: $server is this machine's own; nodes need an address that they can reach" >&2
        ;;
esac
echo "Wrote $dir/$file. Copy it to every node, readable by root only:"
echo "  install -D -m 600 $file /opt/kaloom/etc/podagent-kubeconfig.yaml"
