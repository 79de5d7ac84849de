"""The lifting units, forward and inverse, and the bias behind them (docs/contract.md §3.2, §3.7)."""
