"""The linear engine: its stages and the gates between them (docs/contract.md §4)."""
