"""What there is to learn: denoising pictures or latents, and what comes with it."""
