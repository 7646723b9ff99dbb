"""What was attached, on disk."""
