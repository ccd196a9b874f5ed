"""A name, a folder or a hub id to a frozen model with its processor; remote code never runs."""
