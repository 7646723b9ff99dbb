"""The only code that talks to container runtimes: from a pod's UID to its running sandbox."""
