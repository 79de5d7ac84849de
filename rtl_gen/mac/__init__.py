"""The MAC array and its PE (docs/contract.md §4)."""
