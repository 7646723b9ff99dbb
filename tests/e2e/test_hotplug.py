"""Networks of running pods, by the cases that the stand-in of a node has as well."""

from cases.hotplug import *  # noqa: F403
