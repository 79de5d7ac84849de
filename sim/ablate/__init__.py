"""The paper's comparisons on a trace: transforms along tokens × transforms along channels × bits (docs/ablate.md)."""
