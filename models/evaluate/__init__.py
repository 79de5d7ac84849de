"""What the hardware's integers do to a running model."""
