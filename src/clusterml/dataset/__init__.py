"""Labelled geometries: what to label, where the labels are kept, how they are split, and what they show."""
