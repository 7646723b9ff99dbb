"""Resolves an attachment to the CNI call that makes it. Runs no plugin."""
