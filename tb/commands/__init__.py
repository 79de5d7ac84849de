"""The command `stamp-hw verify`, a file a word."""
