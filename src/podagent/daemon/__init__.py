"""The service: wires the agent together and runs it. The only package that imports all the others."""
