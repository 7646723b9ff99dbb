"""From an attachment to the CNI call that makes it. Runs nothing."""
