"""Publishing: from a net to a weight folder whose claims were measured, and back to the claims."""
