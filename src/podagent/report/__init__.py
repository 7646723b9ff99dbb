"""Reports to users: the journal, and Events on the pod."""
