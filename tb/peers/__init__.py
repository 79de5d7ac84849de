"""Other simulators asked the same as this one, in an environment of their own: `make peers`."""
