"""The texts of the test plugins. ``@name@`` is replaced when one is installed; see `plugins`."""

from __future__ import annotations

# The environment is read from /proc: os.environ may have been added to by the interpreter.
RECORD = """\
import json, os, sys, time
pairs = open("/proc/self/environ", "rb").read().decode(errors="surrogateescape").split("\\0")
env = dict(sorted(pair.split("=", 1) for pair in pairs if "=" in pair))
stdin = sys.stdin.read()
call = {"plugin": sys.argv[0], "time": time.monotonic(), "env": env, "stdin": stdin}
log = os.open("@log@", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(log, json.dumps(call).encode() + b"\\n")
os.close(log)
read, write = os.pipe()
if os.fork() == 0:
    os.close(read)
    os.write(write, stdin.encode(errors="surrogateescape"))
    os._exit(0)
os.close(write)
os.dup2(read, 0)
os.close(read)
os.execv("@target@", ["@target@"])
"""

# The directory goes when the test is over: whoever still waits then leaves without doing anything.
_WAIT = """\
: > "@gate@/reached.$$"
while [ ! -e "@gate@/open" ]; do
  [ -d "@gate@" ] || exit 1
  sleep 0.02
done
"""

_ONLY = """\
echo $$ >> "@pids@"
[ "$CNI_COMMAND" = "@command@" ] || exec "@target@"
"""

GATES = {
    "before": _ONLY + _WAIT + 'exec "@target@"\n',
    "after": _ONLY + 'answer=$("@target@")\ncode=$?\n' + _WAIT + "printf '%s' \"$answer\"\nexit $code\n",
}

BROKEN = """\
echo $$ >> "@pids@"
case $CNI_COMMAND in
@commands@)
cat > /dev/null
@body@
;;
VERSION) printf '{"cniVersion": "1.0.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0"]}' ;;
*) [ -z "@target@" ] || exec "@target@" ;;
esac
"""

HANG = "while :; do sleep 1; [ -d '@notes@' ] || exit 1; done"

HANG_GRANDCHILD = """\
sh -c 'echo $$ >> "@pids@"; while [ -d "@notes@" ]; do sleep 1; done' &
exit 0"""
