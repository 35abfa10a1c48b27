"""What goes in: items and their labels, decoded pixels, batches."""
