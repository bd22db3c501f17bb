"""One call to a provider: its connection, its attempt, and whether the provider may be called now.

What may not come in here: routes, clients and the configured providers themselves. What is needed of a
provider stands in `endpoint.py`.
"""
