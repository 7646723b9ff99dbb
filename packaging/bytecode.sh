#!/bin/sh
# Recompiles podagent's libraries for the Python that runs them, and deletes the bytecode of earlier versions and other
# Pythons. The packages run it at installation. Run it after a change of the host's Python.
umask 022
find /opt/kaloom/lib/podagent -type d -name __pycache__ -prune -exec rm -rf {} +
# shellcheck source=packaging/bin/interpreter.sh
. /opt/kaloom/lib/podagent/interpreter.sh
if ! find_interpreter; then
    echo "podagent: warning: until then it cannot be started" >&2
    exit 1
fi
# shellcheck disable=SC2154 # find_interpreter has set it
exec "$python" -I -m compileall -q /opt/kaloom/lib/podagent
