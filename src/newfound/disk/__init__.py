"""What lies on the disk: files written whole, the run folder, what a run leaves in it."""
