"""Where a model's attention heads are: decoder, layers, sites, and what is skipped."""
