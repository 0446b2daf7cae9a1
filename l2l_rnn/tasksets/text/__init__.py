"""Text task sets: languages, intents, newsgroups and translation."""
