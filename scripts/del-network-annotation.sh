#!/usr/bin/env bash
# Deletes NETWORK from the networks of a running pod: its interface goes without a restart.
# Usage: del-network-annotation.sh POD NETWORK [NAMESPACE]
set -euo pipefail
CALLED_AS=$0 exec "$(dirname "$(readlink -f "$0")")/network-annotation.sh" del "$@"
