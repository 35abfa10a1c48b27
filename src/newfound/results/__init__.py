"""What a trained network says of items, how good that is, and what to beware of."""
