"""What a run leaves: its folder, its figures and curves, the commands that made it, and tables of all that."""
