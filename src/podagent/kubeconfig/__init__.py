"""Reads kubeconfig files, and credentials of pods, for the agent and for kactus alike, as client-go does."""
