"""The scale unit: range, reciprocal, quantizer (docs/contract.md §3.4)."""
