"""Questions about photographs, scenes, letters, pairs, notes and rules, and the mixture of all."""
