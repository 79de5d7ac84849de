"""What a layer's registers may choose on given hardware, searched: the size of its super-tiles."""
