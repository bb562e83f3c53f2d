"""Training objectives: vector-quantised spectrum prediction, masked code prediction, and labelled tasks."""
