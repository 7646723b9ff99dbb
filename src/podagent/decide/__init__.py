"""Desired state, ordering, planning and backoff. Pure: values in, values out."""
