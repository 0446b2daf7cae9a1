"""Text task sets: languages, intents and translation."""
