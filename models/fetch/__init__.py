"""Real models from where pip finds them, converted, checked against what was recorded."""
