"""From a running model to a trace: what its linear layers see, captured, assembled, resumable."""
