"""The dialects: each consists of an annotation key and a parser. All parse to the same `Desired`."""
