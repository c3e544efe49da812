"""Runs as the page has them: what is asked for, what goes on, what is kept, and how it is linked and repeated."""
