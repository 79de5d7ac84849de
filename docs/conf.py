"""The site: `make docs` builds it into build/docs, warnings as errors."""

import importlib.metadata

project = "stamp-hw"
author = "the stamp-hw authors"
release = importlib.metadata.version("stamp-hw")
extensions = ["myst_parser"]
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
html_theme = "furo"
html_title = f"stamp-hw {release}"
exclude_patterns = ["tools", "results"]
highlight_language = "none"
