"""Encoders and the network of Figure 1."""
