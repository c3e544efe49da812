"""The space of latents: what an autoencoder makes of pictures, measured, and its map."""
