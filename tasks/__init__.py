"""The ground floor: what is asked and how an answer is judged. Loads no torch."""
