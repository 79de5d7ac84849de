"""What the paper computes, in float: its transforms along the tokens, its quantizer and the bound of its theorem 1."""
