"""Tests, a folder a package; what they share is in tests/support."""
