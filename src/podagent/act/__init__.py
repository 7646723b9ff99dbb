"""The core: reconciles one pod at a time through the Protocols in `ports`. Imports no adapter."""
