"""What writes the parts of the documents that nobody types: figures, drawings, references.

It stands beside the documents and outside the five packages: it belongs to the checkout, not to what is installed.
"""
