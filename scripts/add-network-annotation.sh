#!/usr/bin/env bash
# Adds NETWORK to the networks of a running pod: its interface comes without a restart.
# Usage: add-network-annotation.sh POD NETWORK [NAMESPACE]
set -euo pipefail
CALLED_AS=$0 exec "$(dirname "$(readlink -f "$0")")/network-annotation.sh" add "$@"
