"""A real node on one machine: etcd, API server, controller manager, scheduler, kubelet and Docker, all on loopback.

`python -m e2e.cluster` brings one up and takes it down; `Cluster` is the same for tests. Everything lives below one
state directory, and every process names it in its command line: that is how they are found again and ended, whoever
started them. It knows nothing of what is tested on it.
"""
