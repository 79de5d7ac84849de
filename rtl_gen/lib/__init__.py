"""Small parts that every block uses."""
