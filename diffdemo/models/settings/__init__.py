"""The settings of each architecture, checked; without PyTorch, which nobody should wait for who only lists models."""
