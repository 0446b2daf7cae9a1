"""Methods for translation into unseen languages."""
