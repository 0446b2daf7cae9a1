"""Methods for episodes, in which labels arrive one step late."""
