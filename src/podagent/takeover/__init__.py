"""What the agent before this one attached: read from its files, and recorded as ours."""
