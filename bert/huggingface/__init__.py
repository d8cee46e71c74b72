"""Weights and configurations to and from the stock transformers classes."""
