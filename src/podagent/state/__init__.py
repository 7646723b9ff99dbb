"""The durable records of attachments."""
