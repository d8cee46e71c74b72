"""Masked-language modelling and next-sentence prediction as tasks of the training core."""
