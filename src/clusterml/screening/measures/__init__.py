"""The numbers that candidates are judged by: one object a measure, one registry, and functions of the user's own."""
