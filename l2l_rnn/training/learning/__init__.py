"""Parts of `MetaLearning` and `TaskData`."""
