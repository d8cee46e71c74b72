"""BERT's shape and its encoder with the masked-language head."""
