"""The paper's tables and figures as data, and what runs them, row by row."""
