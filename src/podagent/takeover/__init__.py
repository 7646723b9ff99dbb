"""Takes over the attachments of Kaloom's podagent from its files."""
