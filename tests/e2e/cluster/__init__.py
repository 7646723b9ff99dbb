"""A real node on a machine apart: etcd, API server, controller manager, scheduler, kubelet and runtime, on loopback.

`python -m e2e.cluster` runs the suite on such nodes, or one to work on by hand. What is tested on it is not known here.
"""
