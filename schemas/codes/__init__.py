"""Code lists and region codes: data with their sources, and how the regions were taken."""
