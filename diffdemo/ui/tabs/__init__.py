"""The tabs: one file each, its layout and its events."""
