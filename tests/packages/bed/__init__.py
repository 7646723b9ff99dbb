"""Machines that boot a systemd of their own, and what the tests of the packages do with them."""
