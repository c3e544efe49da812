"""The page's actions as named endpoints."""
