"""Images in, gates out."""
