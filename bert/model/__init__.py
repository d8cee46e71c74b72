"""BERT's shape and its encoder with the language head."""
