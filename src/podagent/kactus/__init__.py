"""kactus: the project's CNI meta-plugin, compatible with Kaloom's. It runs once per pod operation and needs no agent.

It is started for every operation, so this package imports little: the standard library, `podagent.cni` and the pure
modules; the client libraries of the agent only where a kubeconfig asks for something rare.
"""
