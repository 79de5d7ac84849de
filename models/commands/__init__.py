"""The commands `stamp-hw trace` and `stamp-hw eval`."""
