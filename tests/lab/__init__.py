"""The laboratory: real and stand-in parts of a Kubernetes node, for the tests, the demo and the benchmarks.

Depends on the standard library and on what the agent itself depends on; must not import the agent.
"""
