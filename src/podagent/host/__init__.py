"""What the kernel of this host says: network namespaces and their links, and plugin processes that run on."""
