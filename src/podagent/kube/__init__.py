"""The only code that talks to the API server; knows the rest of the project only by its model and errors."""
