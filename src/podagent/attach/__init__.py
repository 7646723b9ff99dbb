"""The two ways to attach a network: through the node's system CNI plugin, or by running the delegate directly.

Each turns (pod, attachment, sandbox) into an `Invocation`; none of them runs anything.
"""
