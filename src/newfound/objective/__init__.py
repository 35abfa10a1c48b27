"""The terms of the joint loss (Eqs. 1-10): pure functions of tensors."""
