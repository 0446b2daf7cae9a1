"""Text pipelines: vocabularies, tokenizers and word vectors."""
