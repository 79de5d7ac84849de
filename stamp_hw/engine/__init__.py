"""The linear engine: the golden model of a layer, its job's registers, streams and bytes."""
