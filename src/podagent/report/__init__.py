"""Where users read what happened: the journal, and Events on the pod."""
