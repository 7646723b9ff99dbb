"""The Kubernetes API client. The only package that talks to the API server."""
