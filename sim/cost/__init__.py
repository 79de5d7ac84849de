"""What a layer costs: events, bytes, energy."""
