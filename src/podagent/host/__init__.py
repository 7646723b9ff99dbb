"""Kernel state of this host: network namespaces and their links, and orphaned plugin processes."""
