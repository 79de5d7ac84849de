"""The commands `stamp-hw simulate`, `ablate`, `tune` and `widths`."""
