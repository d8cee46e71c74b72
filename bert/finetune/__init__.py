"""Fine-tuning on GLUE and SQuAD: official file formats, official metrics, the paper's recipe."""
