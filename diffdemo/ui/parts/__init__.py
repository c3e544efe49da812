"""Parts that tabs are built of."""
