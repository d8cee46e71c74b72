"""GLUE and SQuAD: official files, rows of tokens, windows of paragraphs."""
