"""Documents and variables that are made to cost more than they are worth, and what each has to be answered."""
