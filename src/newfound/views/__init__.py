"""What the network sees of decoded items: random views of pictures and of sounds."""
