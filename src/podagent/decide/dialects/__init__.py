"""The annotations that a pod may ask for networks in: each is a key and a parser, and all give the same `Desired`."""
