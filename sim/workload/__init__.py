"""A whole model as the linear layers, attention products and vector operations that it is made of, and its cost."""
