"""The command `stamp-hw verify`."""
