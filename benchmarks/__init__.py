"""Programs that measure savs on the machine at hand; not part of the package."""
