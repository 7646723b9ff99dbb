"""The texts of the test plugins. ``@name@`` is replaced when one is installed; `plugins` says what each is for."""

from __future__ import annotations

_NOTE = '''
import json, os, sys, time

def note():
    """The environment is read from /proc: os.environ may have been added to by the interpreter."""
    pairs = open("/proc/self/environ", "rb").read().decode(errors="surrogateescape").split("\\0")
    env = dict(sorted(pair.split("=", 1) for pair in pairs if "=" in pair))
    stdin = sys.stdin.read()
    call = {"plugin": sys.argv[0], "time": time.monotonic(), "env": env, "stdin": stdin}
    log = os.open("@log@", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, json.dumps(call).encode() + b"\\n")
    os.close(log)
    return stdin
'''

RECORD = (
    _NOTE
    + """
stdin = note()
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
)

KACTUS = (
    _NOTE
    + """
import hashlib, subprocess

def fail(code, message):
    print(json.dumps({"cniVersion": "0.4.0", "code": code, "msg": message}))
    sys.exit(1)

def ip(*words, inside=True):
    enter = ["nsenter", "--net=" + os.environ["CNI_NETNS"]] if inside else []
    return subprocess.run([*enter, "ip", *words], capture_output=True, text=True)

def add(config, args):
    netns, ifname = os.environ["CNI_NETNS"], os.environ["CNI_IFNAME"]
    if ip("link", "show", ifname).returncode == 0:
        fail(999, "interface %s already exists" % ifname)
    name = "@veth@" + hashlib.md5((os.environ["CNI_CONTAINERID"] + ifname).encode()).hexdigest()[:9]
    mac = ["address", args["K8S_POD_IFMAC"]] if args.get("K8S_POD_IFMAC") else []
    made = ip("link", "add", name, "type", "veth", "peer", "name", ifname, *mac, "netns", netns, inside=False)
    if made.returncode:
        fail(999, made.stderr.strip())
    ip("link", "set", name, "up", inside=False)
    ip("link", "set", ifname, "up")
    address = json.loads(ip("-j", "link", "show", ifname).stdout)[0]["address"]
    interface = {"name": ifname, "mac": address, "sandbox": netns}
    print(json.dumps({"cniVersion": config.get("cniVersion", "0.4.0"), "interfaces": [interface], "ips": []}))

def delete():
    if os.environ.get("CNI_NETNS") and os.path.exists(os.environ["CNI_NETNS"]):
        ip("link", "del", os.environ["CNI_IFNAME"])

stdin = note()
command = os.environ["CNI_COMMAND"]
config = json.loads(stdin or "{}")
args = dict(pair.split("=", 1) for pair in os.environ.get("CNI_ARGS", "").split(";") if "=" in pair)
if command == "VERSION":
    print(json.dumps({"cniVersion": "0.4.0", "supportedVersions": ["0.3.0", "0.3.1", "0.4.0"]}))
elif command == "ADD" and args.get("K8S_POD_NETWORK"):
    add(config, args)
elif command == "ADD":
    print(json.dumps({"cniVersion": config.get("cniVersion", "0.4.0"), "interfaces": [], "ips": []}))
elif command == "DEL":
    delete()
"""
)

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
