"""BERT on the training core: text, model, pre-training, studies of the arms, fine-tuning."""
