"""The paper's BERT claims, judged by the runs at hand."""
