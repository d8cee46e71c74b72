"""The paper's theorems and what sharpens or refutes them, as functions of their symbols."""
