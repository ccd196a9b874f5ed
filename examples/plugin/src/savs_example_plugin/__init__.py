"""A rule, a backbone and a reader for savs; pyproject.toml registers them as entry points."""
