"""The commands of `l2l-rnn`: one module each, imported when it is called."""
