"""The CNI runtime, shared by the agent and kactus. It imports nothing, so that its import is fast."""
