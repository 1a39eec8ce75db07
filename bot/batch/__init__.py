"""Several orders in one request: what people see and decide together.

`rules` says what a batch is and what may happen to its lines; `asking` whether a list may be asked for;
`workflow` loads, decides and saves; `views` reads what is shown.
"""
