"""The alignment study: effects of factors, predictors of the gain, and what their tests find on made-up boards."""
