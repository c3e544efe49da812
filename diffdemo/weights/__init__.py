"""Weights as they lie in files: safetensors, and their numbers in fp16 or int8."""
