"""The mathematics: noise schedules, prediction types, samplers and guidance. No files, no networks."""
