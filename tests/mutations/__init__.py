"""Takes the defence of each of the most important promises out of the source, and expects the tests to turn red."""
