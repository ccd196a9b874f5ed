"""Examples through the model: planned, encoded ahead, run without a trace, read at the last real token."""
