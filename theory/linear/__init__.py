"""The paper's deep linear network: descent, and both gradient flows solved exactly."""
