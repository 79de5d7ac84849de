"""Files: traces, safetensors and YAML read strictly, and writing that leaves no half of a file."""
