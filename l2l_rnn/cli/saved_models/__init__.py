"""What is done with saved models: evaluation, predictions and exports."""
