"""The baseline on the cards of text task sets: n-grams and logistic regression."""

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression


def baseline(dataset, ways=5, tasks=40, analyzer="char", ngrams=(1, 3)):
    """Return the accuracy of a linear model on n-grams, fitted to each support set of 5 shots."""
    batch = dataset.draw(tasks, 5, 10, torch.Generator().manual_seed(0), ways=ways)
    decode, scores = dataset.vocabulary.decode, []
    for task in range(tasks):
        vectorizer = TfidfVectorizer(analyzer=analyzer, ngram_range=ngrams)
        support = vectorizer.fit_transform(map(decode, batch.support_x[task].tolist()))
        query = vectorizer.transform(map(decode, batch.query_x[task].tolist()))
        model = LogisticRegression(max_iter=1000).fit(support, batch.support_y[task].numpy())
        scores.append(model.score(query, batch.query_y[task].numpy()))
    return sum(scores) / tasks
