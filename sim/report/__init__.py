"""One HTML file of a report: what `stamp-hw simulate --json` wrote, drawn (docs/report.md)."""
