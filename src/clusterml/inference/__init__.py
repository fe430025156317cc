"""Prediction: from structures to spectra with their uncertainty, by the shipped networks."""
