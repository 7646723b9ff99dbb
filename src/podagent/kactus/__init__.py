"""kactus: the project's CNI meta-plugin, compatible with Kaloom's. It runs once per pod operation, without an agent.

To start fast, it imports only the standard library, `podagent.cni`, `podagent.kubeconfig` and pure modules, and the
YAML parser only for a kubeconfig that is not JSON.
"""
