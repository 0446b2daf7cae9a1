import pytest


@pytest.fixture(scope="session")
def texts():
    return ["The cat sat.", "the dog", "Été à Łódź", "cat cat 12"]


@pytest.fixture
def train_tokenizer(texts):
    """Return a function that trains a `tokenizers.Tokenizer` with a model of a given name."""
    tokenizers = pytest.importorskip("tokenizers")

    def train(model="BPE"):
        if model == "Unigram":
            scores = [("?", 0.0), ("cat", -1.0), ("sat", -1.5), ("a", -3.0)]
            return tokenizers.Tokenizer(tokenizers.models.Unigram(scores, unk_id=0))
        tokenizer = tokenizers.Tokenizer(getattr(tokenizers.models, model)(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        trainer = getattr(tokenizers.trainers, f"{model.replace('BPE', 'Bpe')}Trainer")
        tokenizer.train_from_iterator(
            texts, trainer(vocab_size=60, special_tokens=["[PAD]", "[UNK]"], show_progress=False)
        )
        tokenizer.enable_padding(length=50)
        return tokenizer

    return train
