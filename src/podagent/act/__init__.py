"""The core: brings one pod at a time to what it wants, through the ports that `ports` lists. Imports no adapter."""
