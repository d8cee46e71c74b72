"""Other people's models, made tiny, tied and untied, against untied copies of their layers."""
