"""BERT on the training core: text, vocabulary, masking, model, and the comparison of arms."""
