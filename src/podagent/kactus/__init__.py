"""kactus: the project's CNI meta-plugin, compatible with Kaloom's. It runs once per pod operation, without an agent.

To start fast, it imports only the standard library, `podagent.cni` and pure modules. The agent's client libraries are
loaded only for rare kinds of kubeconfig.
"""
