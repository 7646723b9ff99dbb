#!/bin/sh
# Compiles podagent's libraries anew, for the Python that runs them: nothing that an earlier version or another Python
# left is taken for theirs. The packages run it at installation; so may you, after a change of the host's Python.
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
