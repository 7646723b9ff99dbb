"""podagent: adds and removes network interfaces of running Kubernetes pods, driven by their network annotation."""

__version__ = "0.4.0"
