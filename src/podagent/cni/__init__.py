"""The CNI runtime, shared by the agent and kactus. Fast to import: nothing is imported here."""
