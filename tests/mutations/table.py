# ruff: noqa: E501
"""The promises, and how each is broken. If the code changes, adapt the text here: it must take out the same."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """One defence taken out.

    Attributes:
        promise: broken by it.
        file: below src/podagent.
        text: found there exactly once.
        replacement: takes the place of the text.
        tests: at least one of them turns red; below tests/unit.
    """

    promise: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "the record is written before ADD",
        "act/executor.py",
        "        record = self._saved(record)\n        try:\n            result = self._cni.add(record.invocation, record.target(netns.path))",
        "        try:\n            result = self._cni.add(record.invocation, record.target(netns.path))\n            record = self._saved(record)",
        ("act",),
    ),
    Mutation(
        "a record leaves only after DEL succeeded",
        "act/undoing.py",
        "        remark = self._delete(record, call, moved)\n        self._records.remove(record)",
        "        self._records.remove(record)\n        remark = self._delete(record, call, moved)",
        ("act",),
    ),
    Mutation(
        "nothing is taken for gone because of a list that is no list of pods",
        "kube/feed.py",
        '        if kind not in [f"{each}List" for each in feed.kinds]:',
        "        if False:",
        ("kube/test_kube_podlist.py",),
    ),
    Mutation(
        "a definition just changed is never used in its old form",
        "kube/definitions.py",
        "known.read_at >= since and ",
        "",
        ("kube/test_kube_definitions.py",),
    ),
    Mutation(
        "a fault of the annotation detaches nothing",
        "decide/plan.py",
        "if ifname not in kept and not desired.hold_all and",
        "if ifname not in kept and",
        ("decide", "act"),
    ),
    Mutation(
        "nothing is done in the host's network namespace",
        "host/netns.py",
        "if inode in self._host:",
        "if False:",
        ("host/test_host_netns.py",),
    ),
    Mutation(
        "the sandbox is looked at again after the plugin ran",
        "act/executor.py",
        "            if not netns.runs():\n                raise SandboxChanged",
        "            if False:\n                raise SandboxChanged",
        ("act",),
    ),
    Mutation(
        "the policy holds for nested delegates",
        "resolve/reach.py",
        "            rest += value.values()",
        "            pass",
        ("resolve",),
    ),
    Mutation(
        "no definition runs a meta-plugin",
        "resolve/policy.py",
        "            if plugin in META_PLUGINS or self._is_of_node(plugin):",
        "            if False:",
        ("resolve",),
    ),
    Mutation(
        "adoption needs proof",
        "act/executor.py",
        "        if result is None:\n            raise _foreign",
        "        if False:\n            raise _foreign",
        ("act",),
    ),
    Mutation(
        "no ';' or '=' of a value reaches CNI_ARGS",
        "cni/invocation.py",
        'if not key or pair.count("=") != 1 or ";" in pair or not pair.isprintable():',
        "if False:",
        ("cni/test_cni_invocation.py",),
    ),
    Mutation(
        "a namespace has at most half of the workers",
        "daemon/workqueue.py",
        "if self._busy[group] < self._most_per_group), None)",
        "), None)",
        ("daemon/test_workqueue.py",),
    ),
    Mutation(
        "the watchdog is pinged only while all loops make progress",
        "daemon/health.py",
        "        if not stuck and self._wanted:",
        "        if self._wanted:",
        ("daemon/test_health.py",),
    ),
    Mutation(
        "one agent at a time uses a state directory",
        "state/lock.py",
        "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        ("state/test_store.py", "state/test_state_directory.py"),
    ),
    Mutation(
        "only processes of the agent's own user count as orphans",
        "host/orphans.py",
        '        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():  # noqa: PTH116\n            return False\n        variables = _environment(pid)\n        return (\n            b"CNI_COMMAND=" in variables\n            and wanted <= set(variables.split(b"\\0"))\n            and os.readlink(f"/proc/{pid}/fd/1").startswith("pipe:")  # noqa: PTH115\n            and os.path.samestat(os.stat(f"/proc/{pid}/ns/pid"), os.stat("/proc/self/ns/pid"))  # noqa: PTH116\n            and _is_ours(pid)\n',
        '        variables = _environment(pid)\n        return (\n            b"CNI_COMMAND=" in variables\n            and wanted <= set(variables.split(b"\\0"))\n            and os.readlink(f"/proc/{pid}/fd/1").startswith("pipe:")  # noqa: PTH115\n            and os.path.samestat(os.stat(f"/proc/{pid}/ns/pid"), os.stat("/proc/self/ns/pid"))  # noqa: PTH116\n',
        ("host/test_host_orphans.py",),
    ),
    Mutation(
        "another link under the name of a renamed one is left alone",
        "act/undoing.py",
        '        elif usual in links:\n            return ""',
        "        elif usual in links:\n            return netns.path",
        ("act",),
    ),
    Mutation(
        "a link that DEL missed is removed by its index",
        "act/undoing.py",
        "            netns.remove(links[name].ifindex)",
        "            pass",
        ("act",),
    ),
    Mutation(
        "one failed DEL ends no attachment",
        "decide/endings.py",
        "    return failures > 0 and not any(",
        "    return not any(",
        ("act", "kactus"),
    ),
    Mutation(
        "a failed ADD gives the host no link that the pod has made",
        "act/undoing.py",
        "            foreign = moved is not None and ",
        "            foreign = False and ",
        ("act",),
    ),
    Mutation(
        "a sandbox that has the UID of another pod is not that pod's",
        "runtimes/cri.py",
        " if each.pod == pod]",
        "]",
        ("runtimes/test_runtimes_cri.py",),
    ),
    Mutation(
        "a sandbox has ended only if the runtime says so",
        "runtimes/cri.py",
        "            if error.status == NOT_FOUND:",
        "            if True:",
        ("runtimes/test_runtimes_cri.py",),
    ),
    Mutation(
        "the host's network namespace is no pod's, though a runtime names it",
        "runtimes/cri.py",
        "return None if found.inode in self._host else found",
        "return found",
        ("runtimes/test_runtimes_cri.py",),
    ),
    Mutation(
        "a guess of Docker is checked again while it is silent",
        "runtimes/docker.py",
        ", until=stop.is_set)",
        ")",
        ("runtimes/test_runtimes_docker.py",),
    ),
)
