"""Real models: loading, dumping and evaluating them, the two small ones that ship, and how those were trained."""
