"""Speed, as ratios against named references measured in the same run: `stamp-hw bench`, `make bench`."""
