"""Looks one pod up again and again in a process of its own, as a worker of the agent does.

`python lookups.py CRI_ENDPOINT DOCKER_ENDPOINT NAMESPACE NAME UID`, with one of the endpoints empty, prints as JSON:
the median of the processor time of a lookup in milliseconds, and the RSS in MiB after some lookups and after all. It is
the least of the medians of each hundred: others may be at work.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

from podagent.daemon.memory import use_one_arena
from podagent.host.netns import host_inodes, identify
from podagent.model import PodKey
from podagent.runtimes import make_runtime

WARM, LOOKUPS = 100, 1000


def rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(cri: str, docker: str, *pod: str) -> None:
    use_one_arena()
    runtime = make_runtime("cri" if cri else "docker", cri, docker, identify, host_inodes())
    took, rss = [], []
    for lookups in (WARM, LOOKUPS):
        for _ in range(lookups):
            began = time.thread_time()
            runtime.find_sandbox(PodKey(*pod))
            took.append((time.thread_time() - began) * 1000)
        rss.append(rss_mib())
    medians = [statistics.median(took[begin : begin + WARM]) for begin in range(WARM, WARM + LOOKUPS, WARM)]
    print(json.dumps([min(medians), *rss]))


if __name__ == "__main__":
    main(*sys.argv[1:])
