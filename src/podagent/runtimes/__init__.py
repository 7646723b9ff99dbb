"""Container runtimes: from a pod to its running sandbox. The only code that talks to one."""
