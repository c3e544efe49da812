"""What the commands of `python -m diffdemo` do."""
