"""The commands `stamp-hw simulate`, `throughput`, `ablate`, `tune` and `widths`."""
