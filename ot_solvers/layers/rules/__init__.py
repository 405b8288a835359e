"""Derivatives of transport in terms of backend primitives, in NumPy; libraries with autograd wrap them.

`envelope` has those of optimal values, `implicit` those of entropic potentials and of what is made of them,
`supports` those of quadratic plans on the entries that they have.
"""
