"""Reports and timelines for people and their programs: one HTML file, the format of Perfetto (docs/report.md)."""
