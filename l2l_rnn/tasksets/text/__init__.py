"""Task sets of text: languages, intents and translation."""
