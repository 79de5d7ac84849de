"""What the simulator charges beside what gates take."""
