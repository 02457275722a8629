"""What models cost, in dated versions that never change, and who sees them."""
